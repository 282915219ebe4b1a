// pipeline/queue.h: the bounded ring between filters and encoder. Private to the pipeline.
//
// Readings leave in two steps: the oldest `count` are held while their message is under way, then
// taken. A held one may still be dropped to make room.
#ifndef PIPELINE_QUEUE_H
#define PIPELINE_QUEUE_H
#include <stdint.h>
#include "pipeline/pipeline.h"

struct queue_counters {
    uint32_t dropped; // lost to a full queue, whichever end
    uint32_t taken;
    uint16_t length, max; // now, and the most there ever were
};
extern struct queue_counters queue_counters;

// Append a copy. A full queue loses its oldest reading under OVERFLOW_DROP_OLDEST, else this one.
void queue_push(const struct reading *reading, enum overflow_policy policy);
// The index-th oldest, index < queue_counters.length.
const struct reading *queue_at(unsigned index);
// Hold the oldest `count`; forgets what was held before.
void queue_hold(unsigned count);
// Remove the oldest `count` of those that were held; those that were dropped meanwhile are gone
// already, and count as taken instead of dropped.
void queue_take(unsigned count);
// Remove the oldest one and count it as dropped.
void queue_drop_oldest(void);
#endif
