// mmu.c: page tables in the long-descriptor format, one to one (Arm DDI 0406C, B3.6), and caches.
//
// The first gigabyte is devices, without its first 2 MB, so that a null pointer faults. RAM is
// write-back cached: in the 2 MB where the image is by pages, code read-only and executable,
// constants read-only, the rest writable; all other RAM writable in blocks of 2 MB. Only code is
// executable. Nothing else is mapped, nor the page below the stack.
// Left out: RAM or devices elsewhere; images over 2 MB.
#include <stdbool.h>
#include "arch/armv7a/core.h"
#include "ek/assert.h"

enum { PAGE = 1 << 12, BLOCK = 1 << 21, GIGABYTE = 1 << 30, ENTRIES = 512 };

// Descriptors (B3.6.1, B3.6.2).
#define MAPPED_BLOCK 0x1u
#define MAPPED_TABLE 0x3u
#define MAPPED_PAGE 0x3u
#define DEVICE (0u << 2) // fields of MAIR0 below
#define NORMAL (1u << 2)
#define READ_ONLY (1u << 7)
#define ACCESSED (1u << 10)
#define NO_EXECUTE (UINT64_C(1) << 54)

#define MAIR_DEVICE_NORMAL 0xff04u // attribute 1: write-back, allocating; 0: Device (B4.1.104)
// Long descriptors, table walks write-back cached (B4.1.153).
#define TTBCR_LONG (1u << 31 | 1u << 10 | 1u << 8)
// WXN (what is writable is never executable), I, Z, C, M (B4.1.130)
#define SCTLR_SET (1u << 19 | 1u << 12 | 1u << 11 | 1u << 2 | 1u << 0)

static _Alignas(32) uint64_t gigabytes[4];
static _Alignas(4096) uint64_t device_blocks[ENTRIES], ram_blocks[ENTRIES], image_pages[ENTRIES];

static uint64_t table(const uint64_t *entries) { return (uintptr_t)entries | MAPPED_TABLE; }

static uint64_t page(uintptr_t at) {
    if (at >= (uintptr_t)__text_start && at < (uintptr_t)__text_end) {
        return at | MAPPED_PAGE | NORMAL | ACCESSED | READ_ONLY;
    }
    if (at >= (uintptr_t)__rodata_start && at < (uintptr_t)__rodata_end) {
        return at | MAPPED_PAGE | NORMAL | ACCESSED | READ_ONLY | NO_EXECUTE;
    }
    if (at == (uintptr_t)__stack_bottom - PAGE) {
        return 0;
    }
    return at | MAPPED_PAGE | NORMAL | ACCESSED | NO_EXECUTE;
}

// Whether [at, at + BLOCK) has a byte of [start, end).
static bool holds(uintptr_t at, const uint8_t *start, const uint8_t *end) {
    return at < (uintptr_t)end && at + (BLOCK - 1) >= (uintptr_t)start;
}

static void fill_tables(void) {
    uintptr_t image = (uintptr_t)__text_start & -(uintptr_t)BLOCK;
    uintptr_t ram = image & -(uintptr_t)GIGABYTE;
    ek_assert(ram != 0);
    ek_assert((uintptr_t)__image_end - image <= BLOCK);
    gigabytes[0] = table(device_blocks);
    gigabytes[ram / GIGABYTE] = table(ram_blocks);
    for (unsigned i = 1; i < ENTRIES; i++) {
        device_blocks[i] = i * (uint64_t)BLOCK | MAPPED_BLOCK | DEVICE | ACCESSED | NO_EXECUTE;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        uintptr_t at = ram + i * BLOCK;
        image_pages[i] = page(image + i * PAGE);
        if (at == image) {
            ram_blocks[i] = table(image_pages);
        } else if (holds(at, __ram_start, __ram_end) || holds(at, __config_start, __config_end)) {
            ram_blocks[i] = at | MAPPED_BLOCK | NORMAL | ACCESSED | NO_EXECUTE;
        }
    }
}

void armv7a_mmu_on(void) {
    fill_tables();
    WRITE_CP15(0, 10, 2, 0, MAIR_DEVICE_NORMAL); // MAIR0
    WRITE_CP15(0, 2, 0, 2, TTBCR_LONG);
    WRITE_CP15_64(0, 2, (uintptr_t)gigabytes); // TTBR0
    __asm__ volatile("dsb\n isb" ::: "memory");
    WRITE_CP15(0, 1, 0, 0, READ_CP15(0, 1, 0, 0) | SCTLR_SET);
    __asm__ volatile("isb" ::: "memory");
}
