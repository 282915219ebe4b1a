// stellaris_sysctl.h: instance data of the LM3S system control driver, filled in by devices.c.
#ifndef EK_STELLARIS_SYSCTL_H
#define EK_STELLARIS_SYSCTL_H
#include "ek/soc.h"

struct stellaris_sysctl {
    uintptr_t base;    // system control
    uintptr_t timer;   // GPTM0; its interrupt must be listed as this device's
    uint32_t clock_hz; // 200 MHz divided by a whole number, at most 50 MHz
    uint8_t crystal;   // XTAL field of RCC: 14 for 8 MHz
    uint32_t rcgc1, rcgc2;
    uint8_t alternate_a, open_drain_a; // bit per pin of GPIO port A
    uint8_t alternate_b, open_drain_b;
};
extern const struct ek_soc_ops stellaris_sysctl_ops;
#endif
