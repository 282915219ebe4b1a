// bcm_power.h: instance data of the BCM2711 reset driver, filled in by the generated devices.c.
#ifndef EK_BCM_POWER_H
#define EK_BCM_POWER_H
#include <stdint.h>
#include "ek/power.h"

struct bcm_power {
    uintptr_t base; // power manager
};
extern const struct ek_power_ops bcm_power_ops;
#endif
