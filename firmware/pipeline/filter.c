// filter.c: the arithmetic that filters share. 128-bit intermediates are made of 64-bit ones,
// because 32-bit CPUs have no wider type.
#include "pipeline/filters.h"

static void saturate(struct reading *reading, bool negative) {
    reading->value = negative ? INT64_MIN : INT64_MAX;
    reading->quality |= EK_QUALITY_CLAMPED;
}

static uint64_t magnitude(int64_t value) {
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

struct wide {
    uint64_t high, low;
};

static struct wide negate(struct wide x) {
    return (struct wide){.high = ~x.high + (x.low == 0), .low = 0 - x.low};
}

static struct wide multiply(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0;
    uint64_t middle = a1 * b0 + (low >> 32); // at most (2^32-1)^2 + 2^32-1, which fits
    uint64_t carry = a0 * b1 + (uint32_t)middle;
    return (struct wide){.high = a1 * b1 + (middle >> 32) + (carry >> 32),
                         .low = carry << 32 | (uint32_t)low};
}

static struct wide add_signed(struct wide x, int64_t add) {
    uint64_t low = x.low + (uint64_t)add;
    uint64_t sign = add < 0 ? UINT64_MAX : 0;
    return (struct wide){.high = x.high + sign + (low < x.low), .low = low};
}

void filter_scale(struct reading *reading, int64_t num, int64_t add, int64_t den) {
    struct wide x = multiply(magnitude(reading->value), magnitude(num));
    if ((reading->value < 0) != (num < 0)) {
        x = negate(x);
    }
    x = add_signed(x, add); // at most 2^126 + 2^63: no overflow
    bool negative = x.high >> 63;
    if (negative) {
        x = negate(x);
    }
    // Half away from zero; where den is odd there is no half, and den / 2 still rounds right.
    x = add_signed(x, den / 2);
    if (x.high >= (uint64_t)den) { // the quotient has more than 64 bits
        saturate(reading, negative);
        return;
    }
    // Long division by bits: the remainder stays below den < 2^63, the quotient grows in `low`.
    for (unsigned bit = 0; bit < 64; bit++) {
        x.high = x.high << 1 | x.low >> 63;
        x.low <<= 1;
        if (x.high >= (uint64_t)den) {
            x.high -= (uint64_t)den;
            x.low |= 1;
        }
    }
    if (x.low > (uint64_t)INT64_MAX + negative) {
        saturate(reading, negative);
        return;
    }
    reading->value = (int64_t)(negative ? 0 - x.low : x.low);
}

void filter_add(struct reading *reading, int64_t add) {
    bool high = add > 0 && reading->value > INT64_MAX - add;
    bool low = add < 0 && reading->value < INT64_MIN - add;
    if (high || low) {
        saturate(reading, low);
        return;
    }
    reading->value += add;
}

void filter_window_add(struct window_state *window, uint8_t size, int64_t value) {
    window->values[window->next] = value;
    window->next = (uint8_t)(window->next + 1 == size ? 0 : window->next + 1);
    if (window->count < size) {
        window->count++;
    }
}
