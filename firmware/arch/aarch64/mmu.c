// mmu.c: page tables of 4 KiB pages, one to one (Arm DDI 0487, D8), and caches.
//
// The first and the last of four gigabytes are devices, where they are not RAM; the first 2 MB are
// not, so that a null pointer faults. RAM is write-back cached: in the 2 MB where the image is by
// pages, code read-only and executable, constants read-only, the rest writable; all other RAM
// writable in blocks of 2 MB. Only code is executable. Nothing else is mapped, nor the page below
// the stack. Left out: addresses over 4 GB; images over 2 MB.
#include <stdbool.h>
#include <stddef.h>
#include "arch/aarch64/core.h"
#include "ek/assert.h"
#include "ek/soc.h"

enum { PAGE = 1 << 12, BLOCK = 1 << 21, GIGABYTE = 1 << 30, ENTRIES = 512 };

// Descriptors (D8.3).
#define MAPPED_BLOCK 0x1u
#define MAPPED_TABLE 0x3u
#define MAPPED_PAGE 0x3u
#define DEVICE (0u << 2)           // fields of MAIR below
#define NORMAL (1u << 2 | 3u << 8) // inner shareable
#define READ_ONLY (1u << 7)
#define ACCESSED (1u << 10)
#define NO_EXECUTE (UINT64_C(3) << 53) // privileged or not

#define MAIR_DEVICE_NORMAL 0xff04u // attribute 1: write-back, allocating; 0: Device-nGnRE
// 32-bit addresses below, none above; table walks write-back cached, inner shareable; 4 KiB pages.
#define TCR (32u | 1u << 8 | 1u << 10 | 3u << 12 | 1u << 23)
// WXN (what is writable is never executable), I, C, M
#define SCTLR_SET (1u << 19 | 1u << 12 | 1u << 2 | 1u << 0)

static _Alignas(64) uint64_t gigabytes[4];
static _Alignas(4096) uint64_t device_blocks[ENTRIES], ram_blocks[ENTRIES], image_pages[ENTRIES];

static uint64_t table(const uint64_t *entries) { return (uintptr_t)entries | MAPPED_TABLE; }

// Whether [at, at + size) has a byte of [start, end).
static bool holds(uintptr_t at, uintptr_t size, const uint8_t *start, const uint8_t *end) {
    return at < (uintptr_t)end && at + (size - 1) >= (uintptr_t)start;
}

static bool is_ram(uintptr_t at, uintptr_t size) {
    return holds(at, size, __ram_start, __ram_end) || holds(at, size, __config_start, __config_end);
}

static uint64_t page(uintptr_t at) {
    if (at == (uintptr_t)__stack_bottom - PAGE || !is_ram(at, PAGE)) {
        return 0;
    }
    if (holds(at, 1, __text_start, __text_end)) {
        return at | MAPPED_PAGE | NORMAL | ACCESSED | READ_ONLY;
    }
    if (holds(at, 1, __rodata_start, __rodata_end)) {
        return at | MAPPED_PAGE | NORMAL | ACCESSED | READ_ONLY | NO_EXECUTE;
    }
    return at | MAPPED_PAGE | NORMAL | ACCESSED | NO_EXECUTE;
}

static void fill_tables(void) {
    uintptr_t image = (uintptr_t)__text_start & -(uintptr_t)BLOCK;
    uintptr_t ram = image & -(uintptr_t)GIGABYTE;
    ek_assert((uintptr_t)__stack_top - image <= BLOCK);
    ek_assert(ram / GIGABYTE < 3);
    gigabytes[0] = table(device_blocks);
    gigabytes[3] = 3 * (uint64_t)GIGABYTE | MAPPED_BLOCK | DEVICE | ACCESSED | NO_EXECUTE;
    gigabytes[ram / GIGABYTE] = table(ram_blocks);
    for (unsigned i = 1; i < ENTRIES; i++) {
        device_blocks[i] = i * (uint64_t)BLOCK | MAPPED_BLOCK | DEVICE | ACCESSED | NO_EXECUTE;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        uintptr_t at = ram + i * (uintptr_t)BLOCK;
        image_pages[i] = page(image + i * (uintptr_t)PAGE);
        if (at == image) {
            ram_blocks[i] = table(image_pages);
        } else if (is_ram(at, BLOCK)) {
            ram_blocks[i] = at | MAPPED_BLOCK | NORMAL | ACCESSED | NO_EXECUTE;
        }
    }
}

void aarch64_mmu_on(void) {
    if (ek_role_soc.ops != NULL && ek_role_soc.ops->at_reset != NULL) {
        // Here all addresses are still within reach, and nothing is cached.
        ek_role_soc.ops->at_reset(ek_role_soc.dev);
        __asm__ volatile("dsb sy\n sev" ::: "memory"); // to processors that wait for its writes
    }
    fill_tables();
    WRITE_SYSTEM("mair_el1", MAIR_DEVICE_NORMAL);
    WRITE_SYSTEM("tcr_el1", TCR);
    WRITE_SYSTEM("ttbr0_el1", (uintptr_t)gigabytes);
    __asm__ volatile("dsb sy\n isb" ::: "memory");
    WRITE_SYSTEM("sctlr_el1", READ_SYSTEM("sctlr_el1") | SCTLR_SET);
    __asm__ volatile("isb" ::: "memory");
}
