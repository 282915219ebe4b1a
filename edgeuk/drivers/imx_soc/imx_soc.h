// imx_soc.h: instance data of the i.MX clock and pin driver, filled in by devices.c.
#ifndef EK_IMX_SOC_H
#define EK_IMX_SOC_H
#include "ek/soc.h"

struct imx_soc {
    uint32_t clock_hz;     // of the system counter; the architecture reads it in config.h
    uintptr_t enet_pll;    // CCM_ANALOG_PLL_ENET, or 0
    const uint32_t *setup; // register, bits to clear, bits to set, ...; 0 ends it
};
extern const struct ek_soc_ops imx_soc_ops;
#endif
