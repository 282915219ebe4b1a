// start.c: vector table and reset entry (Arm DDI 0403E, B1.5).
// Left out: painting the stack (kernel/stack.c); clocks and pins (the board's soc driver).
#include "arch/arch.h"
#include "arch/armv7m/core.h"
#include "config.h"
#include "ek/mmio.h"
#include "ek/soc.h"

_Noreturn void _start(void);

struct vectors {
    const void *stack;
    void (*handlers[15 + EK_IRQ_VECTORS])(void); // exceptions 1 to 15, then the interrupts
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    .stack = __stack_top,
    .handlers =
        {
            [0] = _start,
            [1 ... 13] = armv7m_fault, // NMI, the faults, and calls that nobody makes
            [14] = armv7m_tick,
            [15 ... 14 + EK_IRQ_VECTORS] = armv7m_wake,
        },
};

enum { MPU_ENABLE = 1 }; // no default map beside the regions; none in HardFault and NMI (B3.5.5)

// Where the chip has no MPU, these registers ignore what is written.
static void protect(void) {
    for (const uint32_t *r = __mpu_regions; r < __mpu_regions_end; r += 2) {
        ek_write32(MPU_RBAR, r[0]);
        ek_write32(MPU_RASR, r[1]);
    }
    ek_write32(MPU_CTRL, MPU_ENABLE);
    __asm__ volatile("dsb\n isb" ::: "memory");
}

enum { CCR_DIV_0_TRP = 1u << 4 }; // a division by zero faults (B3.2.8)

_Noreturn void _start(void) {
    if (ek_role_soc.ops->at_reset != NULL) {
        ek_role_soc.ops->at_reset(ek_role_soc.dev);
    }
    const uint32_t *from = __data_load;
    for (uint32_t *to = __data_start; to < __data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = __bss_start; to < __bss_end; to++) {
        *to = 0;
    }
    // A boot loader may have left its own table.
    ek_write32(SCB_VTOR, (uint32_t)(uintptr_t)&vectors);
    ek_write32(SCB_CCR, ek_read32(SCB_CCR) | CCR_DIV_0_TRP);
    protect();
    ek_main();
}

// This core has no random number instruction.
size_t arch_random(uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    return 0;
}
