// gicv2.h: instance data of the GICv2 driver, filled in by the generated devices.c.
#ifndef EK_GICV2_H
#define EK_GICV2_H
#include "ek/intc.h"

struct gicv2 {
    uintptr_t distributor;   // first register, physical address
    uintptr_t cpu_interface; // likewise
};
extern const struct ek_intc_ops gicv2_ops;
#endif
