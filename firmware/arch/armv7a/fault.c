// fault.c: from an exception to a panic, and semihosting calls (Arm DDI 0406C).
#include <stdbool.h>
#include "arch/arch.h"
#include "arch/armv7a/core.h"
#include "ek/panic.h"
#include "ek/semihosting.h"

enum { UNDEFINED = 1, PREFETCH_ABORT = 2, DATA_ABORT = 3 }; // as in start.S
enum { RESERVE = 1024 };                                    // bytes; likewise

static const char *kind_name(unsigned kind) {
    switch (kind) {
    case UNDEFINED:
        return "undefined instruction";
    case PREFETCH_ABORT:
        return "instruction abort";
    case DATA_ABORT:
        return "data abort";
    default:
        return "exception";
    }
}

_Noreturn void armv7a_fault(unsigned kind, uintptr_t pc, uintptr_t lr, uintptr_t sp);
_Noreturn void armv7a_fault(unsigned kind, uintptr_t pc, uintptr_t lr, uintptr_t sp) {
    // Fault status and address registers (B4.1.51, B4.1.52, B4.1.96, B4.1.97).
    uint32_t status = kind == DATA_ABORT ? READ_CP15(0, 5, 0, 0) : READ_CP15(0, 5, 0, 1);
    uint32_t address = kind == DATA_ABORT ? READ_CP15(0, 6, 0, 0) : READ_CP15(0, 6, 0, 2);
    bool overflow = sp < (uintptr_t)__stack_bottom + RESERVE;
    bool readable = sp >= (uintptr_t)__stack_bottom && sp <= (uintptr_t)__stack_top && sp % 4 == 0;
    thumb_fault = (struct thumb_fault){pc, lr,
                                       readable   ? (const uint32_t *)sp
                                       : overflow ? __stack_bottom
                                                  : __stack_top};
    ek_panic("%s%s: pc 0x%08lx lr 0x%08lx sp 0x%08lx status 0x%lx address 0x%08lx", kind_name(kind),
             overflow ? ", stack overflow" : "", (unsigned long)pc, (unsigned long)lr,
             (unsigned long)sp, (unsigned long)status, (unsigned long)address);
}

// start.S turns an unanswered call into -1. A call overwrites lr: it is taken in our own mode.
long ek_semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("svc 0xab" : "+r"(r0) : "r"(r1) : "lr", "memory");
    return (long)r0;
}
