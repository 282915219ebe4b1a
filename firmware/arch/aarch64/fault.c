// fault.c: from an exception to a panic, and backtraces by frame pointers (AAPCS64, 6.4.6).
#include <stdbool.h>
#include "arch/aarch64/core.h"
#include "arch/arch.h"
#include "ek/panic.h"

struct frame_record {
    const struct frame_record *caller;
    uintptr_t return_address;
};

enum { BRK = 0x3c, TRAP = 0x5500 }; // exception class; clang's checks: BRK #(0x5500 + kind)

// What was interrupted; pc 0: nothing yet.
static struct {
    uintptr_t pc;
    const struct frame_record *frame;
} interrupted;

// Exception classes that a reader would rather not look up (D17.2.37).
static const char *class_name(unsigned kind, uint64_t syndrome) {
    static const char *const kinds[] = {"synchronous", "irq", "fiq", "serror"};
    if (kind != 0) {
        return kinds[kind & 3];
    }
    switch (syndrome >> 26 & 0x3f) {
    case 0x00:
        return "undefined instruction";
    case 0x21:
        return "instruction abort";
    case 0x22:
        return "misaligned pc";
    case 0x25:
        return "data abort";
    case 0x26:
        return "misaligned sp";
    case 0x3c:
        return "breakpoint instruction";
    default:
        return "exception";
    }
}

_Noreturn void aarch64_fault(unsigned kind, const struct frame_record *frame, uintptr_t sp);
_Noreturn void aarch64_fault(unsigned kind, const struct frame_record *frame, uintptr_t sp) {
    uint64_t syndrome = READ_SYSTEM("esr_el1");
    interrupted.pc = READ_SYSTEM("elr_el1");
    interrupted.frame = frame;
    if (kind == 0 && (syndrome >> 26 & 0x3f) == BRK && (syndrome & 0xff00) == TRAP) {
        ek_panic_trap(syndrome & 0xff, interrupted.pc);
    }
    bool overflow = sp < (uintptr_t)__stack_bottom + 1024; // as in start.S
    ek_panic("%s%s: pc 0x%lx sp 0x%lx esr 0x%lx far 0x%lx", class_name(kind, syndrome),
             overflow ? ", stack overflow" : "", (unsigned long)interrupted.pc, (unsigned long)sp,
             (unsigned long)syndrome, (unsigned long)READ_SYSTEM("far_el1"));
}

static bool readable(const struct frame_record *frame) {
    uintptr_t at = (uintptr_t)frame;
    return at % 16 == 0 && at >= (uintptr_t)__stack_bottom &&
           at <= (uintptr_t)__stack_top - sizeof *frame;
}

size_t arch_backtrace(uintptr_t *pcs, size_t max) {
    const struct frame_record *frame = __builtin_frame_address(0);
    size_t count = 0;
    if (interrupted.pc != 0) {
        frame = interrupted.frame;
        if (count < max) {
            pcs[count++] = interrupted.pc;
        }
    }
    while (count < max && readable(frame) && frame->return_address != 0) {
        pcs[count++] = frame->return_address;
        if (frame->caller <= frame) {
            break; // callers are further up
        }
        frame = frame->caller;
    }
    return count;
}
