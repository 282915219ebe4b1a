// filter_moving_average.c: mean of the last values.
#include "pipeline/filters.h"

static bool apply(const void *params, void *state, struct reading *reading) {
    const struct moving_average_params *p = params;
    struct window_state *window = state;
    filter_window_add(window, p->size, reading->value);

    // Quotients and remainders are summed apart, so that nothing leaves 64 bits: the mean is
    // whole + rest / count.
    int64_t count = window->count, whole = 0, rest = 0;
    for (unsigned i = 0; i < window->count; i++) {
        whole += window->values[i] / count;
        rest += window->values[i] % count;
    }
    whole += rest / count;
    rest %= count;
    // Let both point the same way, then round half away from zero.
    if (whole > 0 && rest < 0) {
        whole--;
        rest += count;
    } else if (whole < 0 && rest > 0) {
        whole++;
        rest -= count;
    }
    reading->value = whole + (2 * rest >= count) - (2 * rest <= -count);
    return true;
}

const struct filter_ops filter_moving_average_ops = {.apply = apply};
