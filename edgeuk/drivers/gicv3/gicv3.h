// gicv3.h: instance data of the GICv3 driver, filled in by the generated
// devices.c.
#ifndef EK_GICV3_H
#define EK_GICV3_H
#include "ek/intc.h"

struct gicv3 {
    uintptr_t distributor;   // first register, physical address
    uintptr_t redistributor; // of the processor that we run on, likewise
};
extern const struct ek_intc_ops gicv3_ops;
#endif
