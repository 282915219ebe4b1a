// kinetis_wdog.h: instance data of the Kinetis watchdog driver, filled in by devices.c.
#ifndef EK_KINETIS_WDOG_H
#define EK_KINETIS_WDOG_H
#include "ek/watchdog.h"

struct kinetis_wdog {
    uintptr_t base;
    uintptr_t reset_status; // RCM_SRS0
};
extern const struct ek_watchdog_ops kinetis_wdog_ops;
#endif
