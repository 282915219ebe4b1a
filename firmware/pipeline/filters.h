// pipeline/filters.h: parameters and state of every kind of filter. A kind is one source file
// filter_<kind>.c with one table `filter_<kind>_ops`, linked only where a gateway asks for it.
//
// A value is an int64_t in steps of 10^-decimals of the channel's unit. The SDK turns the decimal
// numbers of gateway.toml into the integers below (edgeuk/filters.py); "steps" in a comment means
// that the number was multiplied by 10^decimals, which must leave no remainder.
#ifndef PIPELINE_FILTERS_H
#define PIPELINE_FILTERS_H
#include <stdbool.h>
#include <stdint.h>
#include "pipeline/pipeline.h"

// offset = 0.5: value + add.
struct offset_params {
    int64_t add; // steps
};

// multiply = 0.1: value * num / den, rounded once.
struct multiply_params {
    int64_t num; // any sign
    int64_t den; // > 0
};

// calibrate_linear = [[raw, true], ...]: (value * num + add) / den, rounded once. The SDK fits the
// line by least squares in exact fractions. If the fractions do not fit 64 bits, den is the
// largest power of two at which they do.
struct calibrate_linear_params {
    int64_t num;
    int64_t add; // steps * den
    int64_t den; // > 0
};

// clamp = [low, high]: a value outside becomes the nearer end, flagged EK_QUALITY_CLAMPED.
struct clamp_params {
    int64_t low, high; // steps, low <= high
};

// median = 5, moving_average = 5: of the last `size` values, from the first value on of those that
// there are. The median of an even number is the mean of the middle two, rounded. A reading keeps
// its own time and quality.
struct median_params {
    uint8_t size; // 2 to 64
};
struct moving_average_params {
    uint8_t size; // 2 to 64
};
// State of both.
struct window_state {
    uint8_t count;    // values there are, up to size
    uint8_t next;     // index of the oldest once count is size
    int64_t values[]; // size
};

// delta = 0.25: passes the first value and then each that differs from the last passed one by
// `change` or more; with heartbeat = "60s" also one when the last is that old.
struct delta_params {
    uint64_t change;       // steps
    uint32_t heartbeat_ms; // 0: none
};
struct delta_state {
    int64_t value;    // last passed
    uint64_t time_us; // of it
    bool passed;      // there is one
};

// throttle = "10s": passes at most one value per period in the long run.
struct throttle_params {
    uint32_t period_ms; // > 0
};
struct throttle_state {
    uint64_t due_us; // from when on the next one passes
};

// round = 0.5: to the nearest multiple of `step`.
struct round_params {
    int64_t step; // steps, > 0
};

extern const struct filter_ops filter_offset_ops;
extern const struct filter_ops filter_multiply_ops;
extern const struct filter_ops filter_calibrate_linear_ops;
extern const struct filter_ops filter_clamp_ops;
extern const struct filter_ops filter_median_ops;
extern const struct filter_ops filter_moving_average_ops;
extern const struct filter_ops filter_delta_ops;
extern const struct filter_ops filter_throttle_ops;
extern const struct filter_ops filter_round_ops;

// Readings that are due every period come a little early or late, by how long the event loop and
// the sensor took. One that is early by up to this much counts as in time.
static inline uint32_t filter_slack_us(uint32_t period_ms) {
    return period_ms < 400 ? period_ms * 1000 / 8 : 50000;
}

// reading->value = (value * num + add) / den, exact to the last bit, rounded half away from zero;
// saturated and flagged EK_QUALITY_CLAMPED where 64 bits cannot hold it. den > 0.
void filter_scale(struct reading *reading, int64_t num, int64_t add, int64_t den);
// reading->value = value + add, saturated and flagged alike.
void filter_add(struct reading *reading, int64_t add);
// Add `value` to the window, in place of the oldest once it holds `size`.
void filter_window_add(struct window_state *window, uint8_t size, int64_t value);
#endif
