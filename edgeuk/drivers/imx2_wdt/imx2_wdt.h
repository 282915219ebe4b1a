// imx2_wdt.h: instance data of the i.MX watchdog driver, filled in by the generated devices.c.
#ifndef EK_IMX2_WDT_H
#define EK_IMX2_WDT_H
#include "ek/watchdog.h"

struct imx2_wdt {
    uintptr_t base; // WDOG1, WDOG2 or WDOG3
};
extern const struct ek_watchdog_ops imx2_wdt_ops;
#endif
