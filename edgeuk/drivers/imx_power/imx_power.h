// imx_power.h: instance data of the i.MX reset driver, filled in by the generated devices.c.
#ifndef EK_IMX_POWER_H
#define EK_IMX_POWER_H
#include <stdint.h>
#include "ek/power.h"

struct imx_power {
    uintptr_t base; // of a watchdog, WDOG1 to WDOG3
};
extern const struct ek_power_ops imx_power_ops;
#endif
