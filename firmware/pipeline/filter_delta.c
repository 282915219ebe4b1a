// filter_delta.c: passes what differs enough from the last one passed, and a heartbeat.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    const struct delta_params *p = params;
    struct delta_state *last = state;
    if (last->passed) {
        int64_t a = reading->value, b = last->value;
        uint64_t change = a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
        uint64_t age_us = reading->time_us - last->time_us + filter_slack_us(p->heartbeat_ms);
        bool beat = p->heartbeat_ms != 0 && age_us >= (uint64_t)p->heartbeat_ms * 1000;
        if (change < p->change && !beat) {
            return false;
        }
    }
    *last = (struct delta_state){reading->value, reading->time_us, true};
    return true;
}

const struct filter_ops filter_delta_ops = {.apply = apply};
