// pl031.h: instance data of the PL031 driver, filled in by the generated devices.c.
#ifndef EK_PL031_H
#define EK_PL031_H
#include "ek/rtc.h"

struct pl031 {
    uintptr_t base;
};
extern const struct ek_rtc_ops pl031_ops;
#endif
