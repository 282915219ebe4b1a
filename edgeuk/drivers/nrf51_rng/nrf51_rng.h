// nrf51_rng.h: instance data of the nRF51 random number driver, filled in by devices.c.
#ifndef EK_NRF51_RNG_H
#define EK_NRF51_RNG_H
#include "ek/entropy.h"

struct nrf51_rng {
    uintptr_t base;
};
extern const struct ek_entropy_ops nrf51_rng_ops;
#endif
