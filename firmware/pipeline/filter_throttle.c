// filter_throttle.c: passes at most one value per period in the long run.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    const struct throttle_params *p = params;
    struct throttle_state *next = state;
    uint64_t period_us = (uint64_t)p->period_ms * 1000;
    uint64_t now_us = reading->time_us;
    if (now_us + filter_slack_us(p->period_ms) < next->due_us) {
        return false;
    }
    // Counted from when it was due, not from when it came, so that small delays do not add up.
    // After a longer pause, and for the first one, the count starts anew.
    bool in_time = next->due_us != 0 && now_us < next->due_us + period_us;
    next->due_us = (in_time ? next->due_us : now_us) + period_us;
    return true;
}

const struct filter_ops filter_throttle_ops = {.apply = apply};
