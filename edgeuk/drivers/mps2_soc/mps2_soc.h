// mps2_soc.h: instance data of the MPS2 driver, filled in by devices.c.
#ifndef EK_MPS2_SOC_H
#define EK_MPS2_SOC_H
#include "ek/soc.h"

struct mps2_soc {
    uintptr_t timer;   // its interrupt must be listed as this device's
    uint32_t clock_hz; // of processor and timer: a whole number of MHz
    uintptr_t gpio;    // the first of four ports, 4 KB apart
    uint16_t alternate_0, alternate_1, alternate_2, alternate_3; // bit per pin of each port
};
extern const struct ek_soc_ops mps2_soc_ops;
#endif
