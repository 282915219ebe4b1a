// machine.c: random numbers, reset, semihosting, memory shared with devices, configuration.
#include <stdbool.h>
#include <string.h>
#include "arch/aarch64/core.h"
#include "arch/arch.h"
#include "ek/dma.h"
#include "ek/semihosting.h"

struct aarch64_entry aarch64_entry;

enum { PSCI_SYSTEM_RESET = 0x84000009 }; // Arm DEN 0022, 5.1.10
enum { RNDR_SHIFT = 60 };                // ID_AA64ISAR0_EL1.RNDR, 4 bits (D17.2.61)

// RNDR: false when the generator has nothing within reasonable time (C5.2.19).
static bool random64(uint64_t *value) {
    uint64_t good;
    __asm__ volatile("mrs %0, s3_3_c2_c4_0\n cset %1, ne" : "=r"(*value), "=r"(good)::"cc");
    return good;
}

size_t arch_random(uint8_t *data, size_t len) {
    size_t done = 0;
    if (READ_SYSTEM("id_aa64isar0_el1") >> RNDR_SHIFT == 0) {
        return 0;
    }
    while (done < len) {
        uint64_t value;
        if (!random64(&value)) {
            break;
        }
        size_t count = len - done < sizeof value ? len - done : sizeof value;
        memcpy(data + done, &value, count);
        done += count;
    }
    return done;
}

// PSCI is called on the level above: by HVC when there is a hypervisor, which is when we were
// entered at EL1, else by SMC. Where there is no PSCI, start.S lets the instruction return; so
// does it after an entry at EL3, above which nobody is.
void arch_reset(void) {
    register uint64_t function __asm__("x0") = PSCI_SYSTEM_RESET;
    if (aarch64_entry.level == 1) {
        __asm__ volatile("hvc #0" : "+r"(function)::"x1", "x2", "x3", "x16", "x17", "cc", "memory");
    } else {
        __asm__ volatile("smc #0" : "+r"(function)::"x1", "x2", "x3", "x16", "x17", "cc", "memory");
    }
}

long ek_semihosting(uint32_t operation, uintptr_t argument) {
    register uint64_t x0 __asm__("x0") = operation;
    register uint64_t x1 __asm__("x1") = argument;
    __asm__ volatile("hlt #0xf000" : "+r"(x0), "+r"(x1)::"x16", "x17", "cc", "memory");
    return (long)x0;
}

const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = (size_t)(__config_end - __config_start);
    return __config_start;
}

void ek_dma_barrier(void) { __asm__ volatile("dsb sy" ::: "memory"); }

static uintptr_t line_bytes(void) {
    return 4u << (READ_SYSTEM("ctr_el0") >> 16 & 15); // DminLine, in words (D19.2.34)
}

// To the point of coherency, line by line (D7.5.9).
void ek_dma_clean(const void *addr, size_t len) {
    uintptr_t line = line_bytes(), end = (uintptr_t)addr + len;
    for (uintptr_t at = (uintptr_t)addr & -line; at < end; at += line) {
        __asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
    }
    ek_dma_barrier();
}

void ek_dma_invalidate(void *addr, size_t len) {
    uintptr_t line = line_bytes(), end = (uintptr_t)addr + len;
    for (uintptr_t at = (uintptr_t)addr & -line; at < end; at += line) {
        __asm__ volatile("dc ivac, %0" ::"r"(at) : "memory");
    }
    ek_dma_barrier();
}
