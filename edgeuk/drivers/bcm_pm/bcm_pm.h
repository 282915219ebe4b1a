// bcm_pm.h: instance data of the BCM2711 watchdog driver, filled in by the generated devices.c.
#ifndef EK_BCM_PM_H
#define EK_BCM_PM_H
#include "ek/watchdog.h"

struct bcm_pm_state {
    uint32_t ticks; // of a timeout; 0: not started
};

struct bcm_pm {
    uintptr_t base;   // power manager
    uintptr_t bridge; // of the same chip, which says that it is one; or 0
    struct bcm_pm_state *state;
};
extern const struct ek_watchdog_ops bcm_pm_ops;
#endif
