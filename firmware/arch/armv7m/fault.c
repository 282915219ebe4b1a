// fault.c: from a fault to a panic, and semihosting calls (Arm DDI 0403E, B1.5).
//
// All faults escalate to HardFault; CFSR tells them apart. The handler does not panic itself: it
// returns to a function that does, in thread mode, where semihosting's BKPT can be survived on a
// board without a debugger.
#include "arch/armv7m/core.h"
#include "ek/mmio.h"
#include "ek/panic.h"
#include "ek/semihosting.h"
#include <stdbool.h>
#include <stddef.h>

// What the processor stacks on an exception (B1.5.6).
struct frame {
    uint32_t r0, r1, r2, r3, r12, lr, pc, xpsr;
};
enum { XPSR_T = 1u << 24, XPSR_ALIGNED = 1u << 9 }; // Thumb; a padding word is above the frame
enum { BKPT_SEMIHOSTING = 0xBEAB };                 // bkpt 0xab
enum { CFSR_IACCVIOL = 1, CFSR_DACCVIOL = 2, CFSR_MMARVALID = 1 << 7 }; // (B3.2.15)
enum { RESERVE = 512 }; // bytes that a panic may need

static _Noreturn void panic(uint32_t pc, uint32_t lr, uint32_t frame, uint32_t exception) {
    bool overflow = frame < (uintptr_t)__stack_bottom + RESERVE;
    uint32_t status = ek_read32(SCB_CFSR);
    ek_panic("%s%s: exception %lu pc 0x%08lx lr 0x%08lx sp 0x%08lx cfsr 0x%08lx hfsr 0x%08lx "
             "address 0x%08lx",
             status & CFSR_IACCVIOL   ? "execution forbidden"
             : status & CFSR_DACCVIOL ? "access forbidden"
                                      : "fault",
             overflow ? ", stack overflow" : "", (unsigned long)exception, (unsigned long)pc,
             (unsigned long)lr, (unsigned long)frame, (unsigned long)status,
             (unsigned long)ek_read32(SCB_HFSR),
             (unsigned long)ek_read32(status & CFSR_MMARVALID ? SCB_MMFAR : SCB_BFAR));
}

// Make the exception return go to panic(), or behind a semihosting call that nobody answered.
// `frame` is where the processor stacked, `fresh` what it will unstack: the same, or the top of the
// stack when there was no room left.
__attribute__((used)) static void fault(struct frame *frame, struct frame *fresh) {
    uint32_t pc = 0, lr = 0, aligned = 0;
    bool on_stack = (uintptr_t)frame >= (uintptr_t)__stack_bottom &&
                    (uintptr_t)(frame + 1) <= (uintptr_t)__stack_top;
    if (on_stack) {
        pc = frame->pc;
        lr = frame->lr;
        bool in_text = pc >= (uintptr_t)__text_start && pc < (uintptr_t)__text_end;
        if (in_text && *(const uint16_t *)(uintptr_t)pc == BKPT_SEMIHOSTING && frame == fresh) {
            frame->r0 = UINT32_MAX;
            frame->pc += 2;
            return;
        }
        aligned = frame == fresh ? frame->xpsr & XPSR_ALIGNED : 0;
        thumb_fault = (struct thumb_fault){pc, lr, (const uint32_t *)(frame + 1)};
    }
    uint32_t exception;
    __asm__("mrs %0, ipsr" : "=r"(exception));
    *fresh = (struct frame){.r0 = pc,
                            .r1 = lr,
                            .r2 = (uintptr_t)frame,
                            .r3 = exception,
                            .pc = (uintptr_t)panic & ~1u,
                            .xpsr = XPSR_T | aligned};
}

__attribute__((naked)) void armv7m_fault(void) {
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =__stack_bottom + 512\n" // RESERVE
                     "cmp r0, r1\n"
                     "it lo\n"
                     "ldrlo sp, =__stack_top - 32\n" // room for a frame
                     "mov r1, sp\n"
                     "b fault\n"
                     ".ltorg");
}

// The handler above turns an unanswered call into -1.
long ek_semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (long)r0;
}
