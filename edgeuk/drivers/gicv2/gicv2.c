// gicv2.c: Arm GICv2, for one processor. Every line has one priority and one group, as the reset or
// the firmware left it; none is ever handled, it only wakes.
// Datasheet: Arm IHI 0048B; numbers in parentheses are its sections.
#include "gicv2.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Distributor (4.1.2). Registers with one bit, two bits or a byte for each line.
enum {
    GICD_CTLR = 0x000,
    GICD_TYPER = 0x004,
    GICD_ISENABLER = 0x100,
    GICD_ICENABLER = 0x180,
    GICD_ICPENDR = 0x280,
    GICD_IPRIORITYR = 0x400,
    GICD_ITARGETSR = 0x800,
    GICD_ICFGR = 0xc00,
};
enum { TYPER_LINES = 31 }; // 32 * (field + 1) lines (4.3.2)
enum { CTLR_ENABLE = 1u << 0 };
enum { PRIORITY = 0x80, PRIORITY_MASK_ALL = 0xff };
enum { SHARED_FIRST = 32, LINES_MAX = 1020 }; // shared lines have targets (2.2.1)

// CPU interface (4.1.3).
enum { GICC_CTLR = 0x00, GICC_PMR = 0x04, GICC_IAR = 0x0c, GICC_EOIR = 0x10 };
enum { IAR_ID = 0x3ff }; // 1020 and up: nothing pending (4.4.4)

static int init(const void *dev) {
    const struct gicv2 *gic = dev;
    ek_assert(gic->distributor != 0);
    ek_assert(gic->cpu_interface != 0);
    ek_write32(gic->distributor + GICD_CTLR, 0);
    uint32_t words = (ek_read32(gic->distributor + GICD_TYPER) & TYPER_LINES) + 1;
    for (uint32_t i = 0; i < words; i++) {
        ek_write32(gic->distributor + GICD_ICENABLER + 4 * i, UINT32_MAX);
        ek_write32(gic->distributor + GICD_ICPENDR + 4 * i, UINT32_MAX);
    }
    ek_write32(gic->cpu_interface + GICC_PMR, PRIORITY_MASK_ALL);
    ek_write32(gic->cpu_interface + GICC_CTLR, CTLR_ENABLE);
    ek_write32(gic->distributor + GICD_CTLR, CTLR_ENABLE);
    return EK_OK;
}

static void enable(const void *dev, uint16_t irq) {
    const struct gicv2 *gic = dev;
    ek_assert(irq < LINES_MAX);
    ek_write8(gic->distributor + GICD_IPRIORITYR + irq, PRIORITY);
    if (irq >= SHARED_FIRST) {
        // The targets of a private line are this processor (4.3.12).
        ek_write8(gic->distributor + GICD_ITARGETSR + irq,
                  ek_read8(gic->distributor + GICD_ITARGETSR));
        uintptr_t config = gic->distributor + GICD_ICFGR + 4u * (irq / 16u);
        ek_write32(config, ek_read32(config) & ~(2u << 2 * (irq % 16u))); // level (4.3.13)
    }
    ek_write32(gic->distributor + GICD_ISENABLER + 4u * (irq / 32u), 1u << irq % 32u);
}

static void clear(const void *dev) {
    const struct gicv2 *gic = dev;
    uint32_t acknowledged = ek_read32(gic->cpu_interface + GICC_IAR);
    if ((acknowledged & IAR_ID) < LINES_MAX) {
        ek_write32(gic->cpu_interface + GICC_EOIR, acknowledged);
    }
}

const struct ek_intc_ops gicv2_ops = {.init = init, .enable = enable, .clear = clear};
