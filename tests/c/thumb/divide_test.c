// divide_test.c: `divide_test SEED ROUNDS` divides and multiplies random numbers of all widths,
// edges among them; prints the pair that fails and exits with 1.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "arch/thumb/divide.h"

static uint64_t state; // xorshift64 (Marsaglia, 2003)

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t number(void) {
    uint64_t value = next() >> next() % 64;
    switch (next() % 5) {
    case 0:
        return UINT64_C(1) << next() % 64;
    case 1:
        return (UINT64_C(1) << next() % 64) - 1;
    case 2:
        return ~value;
    default:
        return value;
    }
}

static int check(uint64_t n, uint64_t d) {
    uint64_t rest;
    uint64_t quotient = thumb_divide(n, d, &rest);
    if (quotient != n / d || rest != n % d) {
        printf("%" PRIu64 " / %" PRIu64 " gave %" PRIu64 " rest %" PRIu64 "\n", n, d, quotient,
               rest);
        return 1;
    }
    int64_t sn = (int64_t)n, sd = (int64_t)d, srest;
    if (sn == INT64_MIN && sd == -1) {
        return 0; // not defined in C
    }
    int64_t squotient = thumb_divide_signed(sn, sd, &srest);
    if (squotient != sn / sd || srest != sn % sd) {
        printf("%" PRId64 " / %" PRId64 " gave %" PRId64 " rest %" PRId64 "\n", sn, sd, squotient,
               srest);
        return 1;
    }
    return 0;
}

static int check32(uint32_t n, uint32_t d) {
    uint32_t rest;
    if (thumb_divide32(n, d, &rest) != n / d || rest != n % d) {
        printf("32 bits: %" PRIu32 " / %" PRIu32 "\n", n, d);
        return 1;
    }
    int32_t sn = (int32_t)n, sd = (int32_t)d, srest;
    if (!(sn == INT32_MIN && sd == -1) &&
        (thumb_divide32_signed(sn, sd, &srest) != sn / sd || srest != sn % sd)) {
        printf("32 bits: %" PRId32 " / %" PRId32 "\n", sn, sd);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    state = strtoull(argv[1], NULL, 10);
    for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; i--) {
        uint64_t n = number(), d = number();
        if (d != 0 && check(n, d) != 0) {
            return 1;
        }
        if ((uint32_t)d != 0 && check32((uint32_t)n, (uint32_t)d) != 0) {
            return 1;
        }
        if (thumb_multiply(n, d) != n * d) {
            printf("%" PRIu64 " * %" PRIu64 "\n", n, d);
            return 1;
        }
    }
    return 0;
}
