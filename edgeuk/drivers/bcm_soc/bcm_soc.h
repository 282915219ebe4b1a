// bcm_soc.h: instance data of the BCM2711 pin driver, filled in by devices.c.
#ifndef EK_BCM_SOC_H
#define EK_BCM_SOC_H
#include "ek/soc.h"

struct bcm_soc {
    uintptr_t gpio;
    const uint32_t *pins; // pin, function, pull, ...; 0 ends it: GPIO0 reads a HAT's identity
};
extern const struct ek_soc_ops bcm_soc_ops;
#endif
