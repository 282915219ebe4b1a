// gicv3.c: Arm GICv3, for one processor. Every line has one priority and is in
// group 1 of the security state that we run in; none is ever handled, it only
// wakes. Datasheet: Arm IHI 0069; numbers in parentheses are its sections. Left
// out: LPIs and ITS, other processors' redistributors, extended lines.
#include "gicv3.h"
#include "ek/assert.h"
#include "ek/icc.h"
#include "ek/mmio.h"

// Distributor (12.8), and of the redistributor the same for private lines in
// its second frame (12.10). Registers with one bit, two bits or a byte for each
// line.
enum {
    GICD_CTLR = 0x000,
    GICD_TYPER = 0x004,
    IGROUPR = 0x080,
    ISENABLER = 0x100,
    ICENABLER = 0x180,
    ICPENDR = 0x280,
    IPRIORITYR = 0x400,
    ICFGR = 0xc00,
    IGRPMODR = 0xd00,
    GICD_IROUTER = 0x6000, // 64 bits each
};
enum { TYPER_LINES = 31 }; // 32 * (field + 1) lines (12.9.38)
// The group that is ours (12.9.4): group 0, or to the non-secure state EnableGrp1A, which is
// EnableGrp1 where there is one security state only.
enum { CTLR_GROUP_0 = 1u << 0, CTLR_GROUP_1 = 1u << 1, CTLR_GROUPS = 7, CTLR_ARE = 1u << 4 };
#define CTLR_RWP (1u << 31)
enum { GICR_WAKER = 0x14, WAKER_PROCESSOR_SLEEP = 1u << 1, WAKER_CHILDREN_ASLEEP = 1u << 2 };
enum { GICR_PRIVATE = 0x10000 }; // its second frame
enum { PRIORITY = 0x80, PRIORITY_MASK_ALL = 0xff };
enum { SHARED_FIRST = 32, LINES_MAX = 1020 };

// What is polled takes some hundred clocks of the controller at most; a poll
// takes over 20 ns.
enum { POLLS_MAX = 100000 };

static int wait_clear(uintptr_t reg, uint32_t flag) {
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if (!(ek_read32(reg) & flag)) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

// 32 lines: masked, not pending, in our group (4.6). To the non-secure state the group's registers
// are not there: the firmware before us has seen to it.
static void prepare(uintptr_t base, uint32_t word) {
    ek_write32(base + ICENABLER + 4 * word, UINT32_MAX);
    ek_write32(base + ICPENDR + 4 * word, UINT32_MAX);
    ek_write32(base + IGRPMODR + 4 * word, 0);
    ek_write32(base + IGROUPR + 4 * word, ek_icc_group() == 0 ? 0 : UINT32_MAX);
}

static int init(const void *dev) {
    const struct gicv3 *gic = dev;
    ek_assert(gic->distributor != 0);
    ek_assert(gic->redistributor != 0);
    ek_write32(gic->distributor + GICD_CTLR,
               ek_read32(gic->distributor + GICD_CTLR) & ~(uint32_t)CTLR_GROUPS);
    int status = wait_clear(gic->distributor + GICD_CTLR, CTLR_RWP);
    ek_write32(gic->distributor + GICD_CTLR,
               CTLR_ARE); // only while the groups are off
    uint32_t words = (ek_read32(gic->distributor + GICD_TYPER) & TYPER_LINES) + 1;
    for (uint32_t i = 1; i < words; i++) { // the first is private
        prepare(gic->distributor, i);
    }
    uint32_t waker = ek_read32(gic->redistributor + GICR_WAKER);
    ek_write32(gic->redistributor + GICR_WAKER, waker & ~(uint32_t)WAKER_PROCESSOR_SLEEP);
    if (wait_clear(gic->redistributor + GICR_WAKER, WAKER_CHILDREN_ASLEEP) < 0) {
        status = EK_ETIMEDOUT;
    }
    prepare(gic->redistributor + GICR_PRIVATE, 0);
    ek_icc_start(PRIORITY_MASK_ALL);
    ek_write32(gic->distributor + GICD_CTLR,
               CTLR_ARE | (ek_icc_group() == 0 ? CTLR_GROUP_0 : CTLR_GROUP_1));
    return status;
}

static void enable(const void *dev, uint16_t irq) {
    const struct gicv3 *gic = dev;
    ek_assert(irq < LINES_MAX);
    uintptr_t base = gic->distributor;
    if (irq < SHARED_FIRST) {
        base = gic->redistributor + GICR_PRIVATE;
    } else {
        uintptr_t config = base + ICFGR + 4u * (irq / 16u);
        ek_write32(config,
                   ek_read32(config) & ~(2u << 2 * (irq % 16u))); // level (12.9.9)
        // To the processor of affinity 0.0.0.0, which boots (12.9.22).
        ek_write32(base + GICD_IROUTER + 8u * irq, 0);
        ek_write32(base + GICD_IROUTER + 8u * irq + 4, 0);
    }
    ek_write8(base + IPRIORITYR + irq, PRIORITY);
    ek_write32(base + ISENABLER + 4u * (irq / 32u), 1u << irq % 32u);
}

static void clear(const void *dev) {
    (void)dev;
    uint32_t acknowledged = ek_icc_acknowledge();
    if (acknowledged < LINES_MAX) { // 1020 and up: nothing pending (2.2.1)
        ek_icc_end(acknowledged);
    }
}

const struct ek_intc_ops gicv3_ops = {.init = init, .enable = enable, .clear = clear};
