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

// This core has no random number instruction.
size_t arch_random(uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    return 0;
}
