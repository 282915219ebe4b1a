// pipeline/sched.h: when sensors are polled. Private to the pipeline.
#ifndef PIPELINE_SCHED_H
#define PIPELINE_SCHED_H
#include <stdint.h>
#include "pipeline/pipeline.h"

struct sched_counters {
    uint32_t errors;  // channels that reported one, or did not report
    uint32_t skipped; // polls not begun
    uint32_t pending; // channels over all polls that have still to report
};
extern struct sched_counters sched_counters;

void sched_start(void);
// A channel has reported, with this status.
void sched_reported(uint16_t channel, int status);
#endif
