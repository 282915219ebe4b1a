// thumb.h: what the architectures with the Thumb-2 instruction set share.
#ifndef THUMB_THUMB_H
#define THUMB_THUMB_H
#include <stdint.h>

// Of the architecture's linker script.
extern uint32_t __text_start[], __text_end[];
extern uint32_t __stack_bottom[], __stack_top[];

// What the architecture's fault handler saves for arch_backtrace(); stack NULL: no fault, or no
// readable stack.
struct thumb_fault {
    uintptr_t pc, lr;
    const uint32_t *stack; // from here on up are the callers' frames
};
extern struct thumb_fault thumb_fault;
#endif
