// divide.c: 64-bit division, which the compiler calls by the names of runtime.c. Plain C, so that
// the host can test it.
#include "arch/armv7m/divide.h"

// How far to shift `value` right to make it fit `bits`.
static unsigned excess(uint64_t value, unsigned bits) {
    uint32_t high = (uint32_t)(value >> 32);
    unsigned width = high != 0 ? 64u - (unsigned)__builtin_clz(high)
                               : 32u - (unsigned)__builtin_clz((uint32_t)value | 1);
    return width > bits ? width - bits : 0;
}

// Subtracts multiples of `d` that a 32-bit division of the leading bits estimates, never too large:
// the divisor's leading 16 bits are rounded up. Each round brings 15 bits or more.
uint64_t armv7m_divide(uint64_t n, uint64_t d, uint64_t *remainder) {
    uint64_t quotient = 0;
    unsigned d_shift = excess(d, 16);
    uint32_t d_lead = (uint32_t)(d >> d_shift) + (d_shift != 0);
    while (n >= d) {
        unsigned n_shift = excess(n, 32);
        uint64_t part = (uint32_t)(n >> n_shift) / d_lead;
        part = n_shift >= d_shift ? part << (n_shift - d_shift) : part >> (d_shift - n_shift);
        if (part == 0) {
            part = 1;
        }
        quotient += part;
        n -= part * d;
    }
    *remainder = n;
    return quotient;
}

// C's rules: the quotient goes towards zero, the remainder has the dividend's sign.
int64_t armv7m_divide_signed(int64_t n, int64_t d, int64_t *remainder) {
    uint64_t rest;
    uint64_t quotient = armv7m_divide(n < 0 ? -(uint64_t)n : (uint64_t)n,
                                      d < 0 ? -(uint64_t)d : (uint64_t)d, &rest);
    *remainder = (int64_t)(n < 0 ? -rest : rest);
    return (int64_t)((n < 0) != (d < 0) ? -quotient : quotient);
}
