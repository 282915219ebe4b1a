// filter_moving_average.c: mean of the last values.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    const struct moving_average_params *p = params;
    struct window_state *window = state;
    filter_window_add(window, p->size, reading->value);

    // Quotients and remainders are summed apart, so that nothing leaves 64 bits: the mean is
    // whole + rest / count. The values are taken as distances from INT64_MIN, which have no sign.
    const uint64_t zero = UINT64_C(1) << 63;
    uint64_t whole = 0;
    unsigned count = window->count, rest = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t distance = (uint64_t)window->values[i] + zero;
        whole += distance / count;
        rest += (unsigned)(distance % count);
    }
    whole += rest / count;
    rest %= count;
    // Half away from zero: up, but for a half below zero.
    bool up = whole >= zero ? 2 * rest >= count : 2 * rest > count;
    reading->value = (int64_t)(whole + up - zero);
    return true;
}

const struct filter_ops filter_moving_average_ops = {.apply = apply};
