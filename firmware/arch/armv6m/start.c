// start.c: vector table and reset entry (Arm DDI 0419E, B1.5).
// Left out: painting the stack (kernel/stack.c); clocks and pins (the board's soc driver).
#include "arch/arch.h"
#include "arch/armv6m/core.h"
#include "ek/mmio.h"

_Noreturn void _start(void);

// Exceptions 1 to 15; there is no VTOR, so this lies at address 0. Interrupts stay masked (clock.c)
// and need no vectors.
struct vectors {
    const void *stack;
    void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    .stack = __stack_top,
    .handlers = {[0] = _start, [1 ... 14] = armv6m_fault},
};

_Noreturn void _start(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    const uint32_t *from = __data_load;
    for (uint32_t *to = __data_start; to < __data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = __bss_start; to < __bss_end; to++) {
        *to = 0;
    }
    ek_main();
}

const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = (size_t)(__config_end - __config_start);
    return __config_start;
}

// This core has no random number instruction.
size_t arch_random(uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    return 0;
}

void arch_reset(void) {
    __asm__ volatile("dsb" ::: "memory");         // let writes end before (B3.2.6)
    ek_write32(SCB_AIRCR, 0x05FA0000u | 1u << 2); // VECTKEY, SYSRESETREQ
    for (;;) {
        __asm__ volatile("wfi");
    }
}
