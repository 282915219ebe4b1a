// ek/intc.h: what every interrupt controller driver provides. Interrupts only wake the processor
// (arch/arch.h), so nothing here calls a handler.
#ifndef EK_INTC_H
#define EK_INTC_H
#include <stdint.h>
#include "ek/status.h"

struct ek_intc_ops {
    // Mask every line, then start the controller. EK_OK.
    int (*init)(const void *dev);
    // Let `irq`, as the controller numbers it, signal the processor, level-sensitive.
    void (*enable)(const void *dev, uint16_t irq);
    // Acknowledge and end one pending interrupt, if there is one; a level that is still there
    // stays pending.
    void (*clear)(const void *dev);
};

struct ek_intc {
    const struct ek_intc_ops *ops;
    const void *dev;
};

// The role `intc` of the board, in the generated devices.c; used by architectures whose interrupt
// controller is not part of the processor.
extern const struct ek_intc ek_role_intc;
#endif
