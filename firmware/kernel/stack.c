// stack.c: how much of the stack was ever used, by painting it at boot.
#include <stdint.h>
#include "kernel/internal.h"
#include "kernel/kernel.h"

// Of the linker script; both the same where the stack is not ours (host).
extern uint32_t __stack_bottom[], __stack_top[];

enum { PAINT = 0x5a5a5a5a };

void stack_paint(void) {
    // Below this function's frame nothing is in use; 64 words for what it may still push there.
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) - 64 * sizeof(uint32_t);
    if (here < (uintptr_t)__stack_bottom || here > (uintptr_t)__stack_top) {
        return;
    }
    for (volatile uint32_t *p = __stack_bottom; (uintptr_t)p < here; p++) {
        *p = PAINT;
    }
}

size_t kernel_stack_used(void) {
    const volatile uint32_t *p = __stack_bottom;
    while (p < __stack_top && *p == PAINT) {
        p++;
    }
    return (uintptr_t)__stack_top - (uintptr_t)p;
}

size_t kernel_stack_size(void) { return (uintptr_t)__stack_top - (uintptr_t)__stack_bottom; }
