// caam_rng.h: instance data of the CAAM's random number driver, filled in by devices.c.
#ifndef EK_CAAM_RNG_H
#define EK_CAAM_RNG_H
#include "ek/entropy.h"

enum { CAAM_RNG_LINE = 64 }; // bytes: the cache line of the processors that have a CAAM

// Nothing that the device writes shares a cache line with anything else.
struct caam_rng_state {
    _Alignas(CAAM_RNG_LINE) uint32_t in[1];           // input ring: where the job is
    bool stuck;                                       // a late job may still come to its end
    _Alignas(CAAM_RNG_LINE) uint32_t job[4];          // its commands
    _Alignas(CAAM_RNG_LINE) volatile uint32_t out[2]; // output ring: which job, how it ended
    _Alignas(CAAM_RNG_LINE) uint8_t data[16];
};

struct caam_rng {
    uintptr_t base;
    uint32_t ring;
    struct caam_rng_state *state;
};
extern const struct ek_entropy_ops caam_rng_ops;
#endif
