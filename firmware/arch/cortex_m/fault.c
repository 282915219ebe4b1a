// fault.c: from a fault to a panic, and semihosting calls (Arm DDI 0403E, B1.5).
//
// All faults are or escalate to HardFault. The handler does not panic itself: it returns to a
// function that does, in thread mode, where semihosting's BKPT can be survived on a board without a
// debugger.
#include "arch/cortex_m/cortex_m.h"
#include "ek/semihosting.h"
#include <stdbool.h>
#include <stddef.h>

enum { XPSR_T = 1u << 24, XPSR_ALIGNED = 1u << 9 }; // Thumb; a padding word is above the frame
enum { BKPT_SEMIHOSTING = 0xBEAB };                 // bkpt 0xab

// Make the exception return go to cortex_m_panic(), or behind a semihosting call that nobody
// answered.
__attribute__((used)) void cortex_m_fault(struct cortex_m_frame *frame,
                                          struct cortex_m_frame *fresh) {
    uint32_t pc = 0, lr = 0, aligned = 0;
    bool on_stack = (uintptr_t)frame >= (uintptr_t)__stack_bottom &&
                    (uintptr_t)(frame + 1) <= (uintptr_t)__stack_top;
    if (on_stack) {
        pc = frame->pc; // a whole number of halfwords (B1.5.6)
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
    *fresh = (struct cortex_m_frame){.r0 = pc,
                                     .r1 = lr,
                                     .r2 = (uintptr_t)frame,
                                     .r3 = exception,
                                     .pc = (uintptr_t)cortex_m_panic & ~1u,
                                     .xpsr = XPSR_T | aligned};
}

// cortex_m_fault() turns an unanswered call into -1.
long ek_semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (long)r0;
}
