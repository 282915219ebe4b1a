// kinetis_rng.h: instance data of the Kinetis RNGA driver, filled in by devices.c.
#ifndef EK_KINETIS_RNG_H
#define EK_KINETIS_RNG_H
#include <stdbool.h>
#include "ek/entropy.h"

struct kinetis_rng {
    uintptr_t base; // first register, physical address
};
extern const struct ek_entropy_ops kinetis_rng_ops;
#endif
