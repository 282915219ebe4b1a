// machine.c: memory shared with devices, configuration; no random numbers, no reset of its own.
#include "arch/arch.h"
#include "arch/armv7a/core.h"
#include "ek/dma.h"

uint64_t armv7a_entry_counter;

void ek_dma_barrier(void) { __asm__ volatile("dsb" ::: "memory"); }

static uintptr_t line_bytes(void) {
    return 4u << (READ_CP15(0, 0, 0, 1) >> 16 & 15); // CTR.DminLine, in words (B4.1.42)
}

// To the point of coherency, line by line (B4.2.1).
void ek_dma_clean(const void *addr, size_t len) {
    uintptr_t line = line_bytes(), end = (uintptr_t)addr + len;
    for (uintptr_t at = (uintptr_t)addr & -line; at < end; at += line) {
        WRITE_CP15(0, 7, 10, 1, at); // DCCMVAC
    }
    ek_dma_barrier();
}

void ek_dma_invalidate(void *addr, size_t len) {
    uintptr_t line = line_bytes(), end = (uintptr_t)addr + len;
    for (uintptr_t at = (uintptr_t)addr & -line; at < end; at += line) {
        WRITE_CP15(0, 7, 6, 1, at); // DCIMVAC
    }
    ek_dma_barrier();
}

const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = (size_t)(__config_end - __config_start);
    return __config_start;
}

// This processor has no random number instruction.
size_t arch_random(uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    return 0;
}

// The processor cannot reset the chip: that is for the board's device in the role `power`.
void arch_reset(void) {}
