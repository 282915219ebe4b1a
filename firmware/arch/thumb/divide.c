// divide.c: 64-bit division, which the compiler calls by the names of runtime.c. Plain C, so that
// the host can test it.
#include "arch/thumb/divide.h"
#include <stdbool.h>

// By bits, as on paper: `n` gives way, from the left, to the quotient. Ten cycles a bit.
uint64_t thumb_divide(uint64_t n, uint64_t d, uint64_t *remainder) {
    uint64_t rest = 0;
    unsigned bits = 64;
    if (d == 0) {
        __builtin_trap(); // a fault, as of the processor's own division (start.c)
    }
    if (n >> 32 == 0) {
        n <<= 32;
        bits = 32;
    }
    for (; bits > 0; bits--) {
        bool carry = rest >> 63;
        rest = rest << 1 | n >> 63;
        n <<= 1;
        if (carry || rest >= d) {
            rest -= d;
            n |= 1;
        }
    }
    *remainder = rest;
    return n;
}

// C's rules: the quotient goes towards zero, the remainder has the dividend's sign.
int64_t thumb_divide_signed(int64_t n, int64_t d, int64_t *remainder) {
    uint64_t rest;
    uint64_t quotient =
        thumb_divide(n < 0 ? -(uint64_t)n : (uint64_t)n, d < 0 ? -(uint64_t)d : (uint64_t)d, &rest);
    *remainder = (int64_t)(n < 0 ? -rest : rest);
    return (int64_t)((n < 0) != (d < 0) ? -quotient : quotient);
}
