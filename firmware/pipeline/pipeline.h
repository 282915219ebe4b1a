// pipeline/pipeline.h: sensors -> filters -> queue -> encoder -> MQTT, driven by tables that the
// SDK generates (pipeline.c).
#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/sensor.h"
#include "pipeline/senml.h"

// One measured value on its way.
struct reading {
    int64_t value;    // in 10^-decimals of the channel's unit
    uint64_t time_us; // ek_clock_us() when it was measured
    uint16_t channel; // index into pipeline_channels
    uint8_t quality;  // EK_QUALITY flags
};

// One kind of filter. All arithmetic is in integers, exact where it can be, else rounded half away
// from zero; what leaves 64 bits saturates and is flagged EK_QUALITY_CLAMPED.
struct filter_ops {
    // Change `reading` in place. True: it goes on; false: it ends here.
    bool (*apply)(const void *params, void *state, struct reading *reading);
};
struct filter {
    const struct filter_ops *ops;
    const void *params; // const struct <kind>_params, see pipeline/filters.h
    void *state;        // struct <kind>_state, zeroed at boot; NULL where the kind has none
};

struct channel {
    const char *name; // SenML name, [A-Za-z0-9][A-Za-z0-9-:./_]*
    const char *unit; // SenML unit (RFC 8428, 12.1), "" for none
    const struct filter *filters;
    uint8_t filter_count;
    uint8_t decimals; // 0 to 9
};

struct poll {
    const struct ek_sensor_ops *ops;
    const void *dev;
    uint32_t period_ms;
    uint32_t phase_ms; // of the first poll after start: spreads the load
    uint16_t channel;  // first channel that it reports
    uint16_t channel_count;
};

// What the scheduler keeps of each poll; zeroed at boot.
struct poll_state {
    uint64_t due_us;   // of the next poll
    uint16_t pending;  // channels that the poll under way has still to report
    uint8_t overruns;  // periods in a row that came while it was under way
    bool ready;        // init() succeeded
    bool failing;      // it has been logged that this sensor fails
    bool round_failed; // since the last poll began
};

enum overflow_policy { OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEWEST, OVERFLOW_BLOCK };
enum encoding { ENCODING_SENML_CBOR, ENCODING_SENML_JSON };

// Generated in pipeline.c; sizes in config.h.
extern const struct channel pipeline_channels[];
extern const uint16_t pipeline_channel_count;
extern const struct poll pipeline_polls[];
extern const uint16_t pipeline_poll_count;
extern struct poll_state pipeline_poll_states[]; // pipeline_poll_count
extern const struct pipeline_settings {
    enum overflow_policy overflow;
    enum encoding encoding;
    uint8_t qos;           // of readings
    uint16_t batch_ms;     // wait this long for more readings before a message leaves
    uint32_t statistics_s; // period of the statistics record
} pipeline_settings;

struct pipeline_stats {
    uint32_t readings; // reported with EK_OK
    uint32_t errors;   // reported with another status
    uint32_t filtered; // ended in a filter on purpose
    uint32_t dropped;  // lost to a full queue
    uint32_t skipped;  // polls not begun: policy `block`, or the last one had not ended
    uint32_t sent;     // taken: by MQTT, which keeps QoS 1 and 2 until acknowledged, or given up
    uint16_t queue_length, queue_max, queue_size;
};

// Start polling; the queue fills. pipeline_next() and friends empty it.
void pipeline_start(void);
void pipeline_get_stats(struct pipeline_stats *stats);
// Called from the event loop when readings wait to be sent (after batch_ms). One listener.
void pipeline_on_ready(void (*fn)(void));
// Encode the oldest waiting readings as one SenML pack (senml.h) into `out`, as many whole ones as
// fit; returns its length and in *count how many readings it holds, 0 if none wait. They stay in
// the queue until pipeline_take(count), or are encoded again by the next call. `size` is that of
// the largest message: a reading that does not fit alone is dropped.
size_t pipeline_encode(uint8_t *out, size_t size, const char *base_name, unsigned *count);
void pipeline_take(unsigned count);
#endif
