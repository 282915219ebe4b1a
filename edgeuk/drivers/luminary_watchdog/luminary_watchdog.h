// luminary_watchdog.h: instance data of the LM3S watchdog driver, filled in by devices.c.
#ifndef EK_LUMINARY_WATCHDOG_H
#define EK_LUMINARY_WATCHDOG_H
#include "ek/watchdog.h"

struct luminary_watchdog {
    uintptr_t base;
    uintptr_t sysctl;  // system control
    uint32_t clock_hz; // system clock
};
extern const struct ek_watchdog_ops luminary_watchdog_ops;
#endif
