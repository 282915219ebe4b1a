// divide.c: division, and for Armv6-M multiplication, which the compiler calls by the names of
// runtime.c. Plain C, so that the host can test it.
#include "arch/thumb/divide.h"
#include <stdbool.h>

// By bits, as on paper: `n` gives way, from the left, to the quotient. Ten cycles a bit.
uint64_t thumb_divide(uint64_t n, uint64_t d, uint64_t *remainder) {
    uint64_t rest = 0;
    unsigned bits = 64;
    if (d == 0) {
        __builtin_trap(); // a panic: kernel/guard.c
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

// Armv6-M divides nothing by itself.
uint32_t thumb_divide32(uint32_t n, uint32_t d, uint32_t *remainder) {
    uint32_t rest = 0;
    if (d == 0) {
        __builtin_trap();
    }
    for (unsigned bits = 32; bits > 0; bits--) {
        bool carry = rest >> 31;
        rest = rest << 1 | n >> 31;
        n <<= 1;
        if (carry || rest >= d) {
            rest -= d;
            n |= 1;
        }
    }
    *remainder = rest;
    return n;
}

int32_t thumb_divide32_signed(int32_t n, int32_t d, int32_t *remainder) {
    uint32_t rest;
    uint32_t quotient = thumb_divide32(n < 0 ? -(uint32_t)n : (uint32_t)n,
                                       d < 0 ? -(uint32_t)d : (uint32_t)d, &rest);
    *remainder = (int32_t)(n < 0 ? -rest : rest);
    return (int32_t)((n < 0) != (d < 0) ? -quotient : quotient);
}

// Its multiplication keeps 32 bits: by halves, as on paper.
uint64_t thumb_multiply(uint64_t a, uint64_t b) {
    uint32_t a_low = (uint32_t)a, b_low = (uint32_t)b;
    uint32_t a0 = a_low & 0xffff, a1 = a_low >> 16, b0 = b_low & 0xffff, b1 = b_low >> 16;
    uint32_t low = a0 * b0;
    uint32_t middle = a0 * b1 + (low >> 16);
    uint32_t other = a1 * b0 + (middle & 0xffff);
    uint32_t high = a1 * b1 + (middle >> 16) + (other >> 16);
    high += a_low * (uint32_t)(b >> 32) + (uint32_t)(a >> 32) * b_low;
    return (uint64_t)high << 32 | (other << 16 | (low & 0xffff));
}
