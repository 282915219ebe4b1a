// kinetis_soc.h: instance data of the Kinetis clock and pin driver, filled in by devices.c.
#ifndef EK_KINETIS_SOC_H
#define EK_KINETIS_SOC_H
#include "ek/soc.h"

struct kinetis_soc {
    uint32_t clock_hz;     // of the core; buses run at the most that divides it
    uint32_t external_hz;  // what comes in on EXTAL0
    const uint32_t *setup; // register, bits to clear, bits to set, ...; 0 ends it
};
extern const struct ek_soc_ops kinetis_soc_ops;
#endif
