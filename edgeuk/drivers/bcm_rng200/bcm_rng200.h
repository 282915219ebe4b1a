// bcm_rng200.h: instance data of the RNG200 driver, filled in by the generated devices.c.
#ifndef EK_BCM_RNG200_H
#define EK_BCM_RNG200_H
#include "ek/entropy.h"

struct bcm_rng200 {
    uintptr_t base;
    uintptr_t bridge; // of the same chip, which says that it is one; or 0
};
extern const struct ek_entropy_ops bcm_rng200_ops;
#endif
