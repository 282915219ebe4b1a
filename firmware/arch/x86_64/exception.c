// exception.c: processor exceptions end in a panic; and the backtrace, by frame pointers.
#include <string.h>
#include "arch/arch.h"
#include "ek/panic.h"
#include "x86.h"

// As vectors.S and the processor push it (SDM volume 3, figure 6-9).
struct x86_exception {
    uint64_t rbp, vector, error, rip, cs, rflags, rsp, ss;
};

struct frame {
    const struct frame *caller;
    uintptr_t return_pc;
};

enum { INVALID_OPCODE = 6, DOUBLE_FAULT = 8, PAGE_FAULT = 14 };
enum { ERROR_WRITE = 1 << 1, ERROR_EXECUTE = 1 << 4 }; // of page faults (SDM volume 3, 4.7)
enum { PAGE = 4096 };

extern char __stack_bottom[], __stack_top[], __text_start[], __text_end[];

static const struct x86_exception *handling;

static const char *kind_name(const struct x86_exception *e) {
    if (e->vector != PAGE_FAULT) {
        return e->vector == INVALID_OPCODE ? "undefined instruction" : "fault";
    }
    return e->error & ERROR_EXECUTE ? "execution forbidden"
           : e->error & ERROR_WRITE ? "write forbidden"
                                    : "read forbidden";
}

_Noreturn void x86_exception(const struct x86_exception *e);

_Noreturn void x86_exception(const struct x86_exception *e) {
    handling = e;
    uintptr_t address = 0;
    if (e->vector == PAGE_FAULT || e->vector == DOUBLE_FAULT) {
        __asm__("mov %%cr2, %0" : "=r"(address));
    }
    const uint8_t *code = (const uint8_t *)e->rip;
    if (e->vector == INVALID_OPCODE && memcmp(code, "\x67\x0f\xb9", 3) == 0) {
        ek_panic_trap(code[3] & 0x40 ? code[4] : 0, e->rip); // UD1 kind(EAX): a check of clang's
    }
    bool overflow = (uintptr_t)__stack_bottom - address - 1 < PAGE; // the page below the stack
    ek_panic("%s%s: exception %u, error 0x%x, rip %p, rsp %p, address %p", kind_name(e),
             overflow ? ", stack overflow" : "", (unsigned)e->vector, (unsigned)e->error,
             (void *)e->rip, (void *)e->rsp, (void *)address);
}

static bool on_stack(const struct frame *frame) {
    uintptr_t at = (uintptr_t)frame;
    return at % sizeof(uintptr_t) == 0 && at >= (uintptr_t)__stack_bottom &&
           at + sizeof *frame <= (uintptr_t)__stack_top;
}

size_t arch_backtrace(uintptr_t *pcs, size_t max) {
    const struct frame *frame = __builtin_frame_address(0);
    size_t count = 0;
    if (handling && max > 0) {
        pcs[count++] = handling->rip;
        frame = (const struct frame *)handling->rbp;
    }
    while (count < max && on_stack(frame)) {
        uintptr_t pc = frame->return_pc;
        if (pc < (uintptr_t)__text_start || pc >= (uintptr_t)__text_end) {
            break;
        }
        pcs[count++] = pc;
        if (frame->caller <= frame) {
            break; // callers are further up; anything else is not a frame
        }
        frame = frame->caller;
    }
    return count;
}
