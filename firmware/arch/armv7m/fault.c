// fault.c: the handler of every fault, and what a panic says of it (Arm DDI 0403E, B1.5). The rest
// is in arch/cortex_m.
//
// All faults escalate to HardFault; CFSR tells them apart.
#include "arch/armv7m/core.h"
#include "ek/mmio.h"
#include "ek/panic.h"

enum { CFSR_IACCVIOL = 1, CFSR_DACCVIOL = 2, CFSR_MMARVALID = 1 << 7 }; // (B3.2.15)

_Noreturn void cortex_m_panic(uint32_t pc, uint32_t lr, uint32_t frame, uint32_t exception) {
    uint32_t status = ek_read32(SCB_CFSR);
    ek_panic("%s%s: exception %lu pc 0x%08lx lr 0x%08lx sp 0x%08lx cfsr 0x%08lx hfsr 0x%08lx "
             "address 0x%08lx",
             status & CFSR_IACCVIOL   ? "execution forbidden"
             : status & CFSR_DACCVIOL ? "access forbidden"
                                      : "fault",
             cortex_m_overflow(frame), (unsigned long)exception, (unsigned long)pc,
             (unsigned long)lr, (unsigned long)frame, (unsigned long)status,
             (unsigned long)ek_read32(SCB_HFSR),
             (unsigned long)ek_read32(status & CFSR_MMARVALID ? SCB_MMFAR : SCB_BFAR));
}

__attribute__((naked)) void armv7m_fault(void) {
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =__stack_bottom + 512\n" // CORTEX_M_RESERVE
                     "cmp r0, r1\n"
                     "it lo\n"
                     "ldrlo sp, =__stack_top - 32\n" // room for a frame
                     "mov r1, sp\n"
                     "b cortex_m_fault\n"
                     ".ltorg");
}
