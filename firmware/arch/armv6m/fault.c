// fault.c: the handler of every fault, and what a panic says of it (Arm DDI 0419E, B1.5). The rest
// is in arch/cortex_m.
//
// Every fault is a HardFault, and no register tells why.
#include "arch/armv6m/core.h"
#include "ek/panic.h"

_Noreturn void cortex_m_panic(uint32_t pc, uint32_t lr, uint32_t frame, uint32_t exception) {
    ek_panic("fault %lu%s: pc 0x%08lx lr 0x%08lx sp 0x%08lx", (unsigned long)exception,
             cortex_m_overflow(frame), (unsigned long)pc, (unsigned long)lr, (unsigned long)frame);
}

__attribute__((naked)) void armv6m_fault(void) {
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =__stack_bottom + 512\n" // CORTEX_M_RESERVE
                     "cmp r0, r1\n"
                     "bhs 1f\n"
                     "ldr r1, =__stack_top - 32\n" // room for a frame
                     "mov sp, r1\n"
                     "1: mov r1, sp\n"
                     "ldr r2, =cortex_m_fault\n"
                     "bx r2\n"
                     ".ltorg");
}
