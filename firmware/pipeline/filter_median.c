// filter_median.c: median of the last values.
#include "pipeline/filters.h"

// The value that would stand at `rank` if the window were sorted. Compares each with each: with at
// most 64 values that costs less code and memory than sorting.
static int64_t ranked(const struct window_state *window, unsigned rank) {
    int64_t found = 0;
    for (unsigned i = 0; i < window->count; i++) {
        int64_t value = window->values[i];
        unsigned below = 0, equal = 0;
        for (unsigned j = 0; j < window->count; j++) {
            below += window->values[j] < value;
            equal += window->values[j] == value;
        }
        if (below <= rank && rank < below + equal) {
            found = value;
        }
    }
    return found;
}

// (a + b) / 2, a <= b, rounded half away from zero, without leaving 64 bits.
static int64_t mean(int64_t a, int64_t b) {
    uint64_t distance = (uint64_t)b - (uint64_t)a;
    int64_t down = (int64_t)((uint64_t)a + distance / 2);
    return down + (distance % 2 != 0 && down >= 0);
}

static bool apply(const void *params, void *state, struct reading *reading) {
    const struct median_params *p = params;
    struct window_state *window = state;
    filter_window_add(window, p->size, reading->value);
    unsigned upper = window->count / 2u;
    unsigned lower = (window->count - 1u) / 2u;
    reading->value = mean(ranked(window, lower), ranked(window, upper));
    return true;
}

const struct filter_ops filter_median_ops = {.apply = apply};
