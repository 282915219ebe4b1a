// cmsdk_watchdog.h: instance data of the CMSDK watchdog driver, filled in by devices.c.
#ifndef EK_CMSDK_WATCHDOG_H
#define EK_CMSDK_WATCHDOG_H
#include "ek/watchdog.h"

struct cmsdk_watchdog {
    uintptr_t base;
    uint32_t clock_hz;    // WDOGCLK
    uintptr_t reset_info; // RSTINFO of the system controller, which knows the last reset's cause; 0
};
extern const struct ek_watchdog_ops cmsdk_watchdog_ops;
#endif
