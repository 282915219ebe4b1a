// filter_round.c: rounds to the nearest multiple, half away from zero.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    (void)state;
    const struct round_params *p = params;
    int64_t over = reading->value % p->step; // has the value's sign
    int64_t away = over < 0 ? -over : over;
    reading->value -= over;
    if (away >= p->step - away) { // half a step or more
        filter_add(reading, over < 0 ? -p->step : p->step);
    }
    return true;
}

const struct filter_ops filter_round_ops = {.apply = apply};
