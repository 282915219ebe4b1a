// filter_multiply.c: multiplies by a fraction.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    (void)state;
    const struct multiply_params *p = params;
    filter_scale(reading, p->num, 0, p->den);
    return true;
}

const struct filter_ops filter_multiply_ops = {.apply = apply};
