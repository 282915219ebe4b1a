// backtrace.c: return addresses found on the stack.
//
// The code has no frame pointers and no unwind tables, which would cost more than they tell. Any
// word on the stack that points into the code, just behind a call, is taken for a return address:
// none is missed, but one left over from an earlier call may be among them.
#include "arch/arch.h"
#include "arch/thumb/thumb.h"
#include <stdbool.h>

// Is `word` a Thumb address behind a BL or BLX (Arm DDI 0403E, A7.7.18, A7.7.19; Armv7-A alike)?
static bool follows_call(uint32_t word) {
    if (!(word & 1) || word < (uintptr_t)__text_start + 5 || word >= (uintptr_t)__text_end) {
        return false;
    }
    const uint16_t *after = (const uint16_t *)(uintptr_t)(word - 1);
    return ((after[-2] & 0xF800) == 0xF000 && (after[-1] & 0xD000) == 0xD000) || // BL label
           (after[-1] & 0xFF87) == 0x4780;                                       // BLX register
}

struct thumb_fault thumb_fault;

size_t arch_backtrace(uintptr_t *pcs, size_t max) {
    const struct thumb_fault *fault = &thumb_fault;
    const uint32_t *word = fault->stack;
    size_t count = 0;
    if (word == NULL) {
        __asm__("mov %0, sp" : "=r"(word));
    } else if (max >= 2) {
        pcs[count++] = fault->pc;
        if (follows_call(fault->lr)) { // where the function at pc made no call
            pcs[count++] = fault->lr & ~1u;
        }
    }
    for (; word < __stack_top && count < max; word++) {
        if (follows_call(*word)) {
            pcs[count++] = *word & ~1u;
        }
    }
    return count;
}
