// filter_offset.c: adds a constant.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    (void)state;
    const struct offset_params *p = params;
    filter_add(reading, p->add);
    return true;
}

const struct filter_ops filter_offset_ops = {.apply = apply};
