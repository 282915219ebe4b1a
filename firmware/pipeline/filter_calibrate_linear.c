// filter_calibrate_linear.c: maps measured to true values along a line.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    (void)state;
    const struct calibrate_linear_params *p = params;
    filter_scale(reading, p->num, p->add, p->den);
    return true;
}

const struct filter_ops filter_calibrate_linear_ops = {.apply = apply};
