// filter_clamp.c: limits to a range.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    (void)state;
    const struct clamp_params *p = params;
    int64_t value = reading->value;
    int64_t limited = value < p->low ? p->low : value > p->high ? p->high : value;
    if (limited != value) {
        reading->value = limited;
        reading->quality |= EK_QUALITY_CLAMPED;
    }
    return true;
}

const struct filter_ops filter_clamp_ops = {.apply = apply};
