// cortex_m.h: what Cortex-M processors share, Armv6-M and Armv7-M. The numbers in parentheses are
// sections of Arm DDI 0403E (Armv7-M Architecture Reference Manual); Armv6-M's is alike.
#ifndef CORTEX_M_CORTEX_M_H
#define CORTEX_M_CORTEX_M_H
#include <stdint.h>
#include "arch/thumb/thumb.h"

#define SCB_AIRCR 0xE000ED0Cu // application interrupt and reset control (B3.2.6)

extern uint32_t __data_start[], __data_end[], __data_load[];
extern uint32_t __bss_start[], __bss_end[];
extern const uint8_t __config_start[], __config_end[];

enum { CORTEX_M_RESERVE = 512 }; // bytes of stack that a panic may need

// What the processor stacks on an exception (B1.5.6).
struct cortex_m_frame {
    uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
};

// Called by the architecture's handler of all faults, on the way out of the exception. `frame` is
// where the processor stacked, `fresh` what it will unstack: the same, or the top of the stack when
// there was no room left.
void cortex_m_fault(struct cortex_m_frame *frame, struct cortex_m_frame *fresh);

// The architecture's: panics with what its registers tell, in thread mode.
_Noreturn void cortex_m_panic(uint32_t pc, uint32_t lr, uint32_t frame, uint32_t exception);

// What it says of the stack.
static inline const char *cortex_m_overflow(uint32_t frame) {
    return frame < (uintptr_t)__stack_bottom + CORTEX_M_RESERVE ? ", stack overflow" : "";
}
#endif
