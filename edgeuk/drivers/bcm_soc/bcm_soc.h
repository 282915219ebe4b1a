// bcm_soc.h: instance data of the BCM2711 pin driver, filled in by devices.c.
#ifndef EK_BCM_SOC_H
#define EK_BCM_SOC_H
#include "ek/soc.h"

struct bcm_soc {
    uintptr_t gpio;
    uintptr_t spin_table; // where the boot stub's other cores look
    uint32_t entry;       // the image's, where they are to go; 0: they stay
    const uint32_t *pins; // pin, function, pull, ...; 0 ends it: GPIO0 reads a HAT's identity
};
extern const struct ek_soc_ops bcm_soc_ops;
#endif
