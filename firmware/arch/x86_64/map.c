// map.c: ek_bus_map(): device memory anywhere in the physical address space. The entries of the
// page directory for the 32 MB below 992 MB, where no image has memory, are given away one by one.
#include <stdbool.h>
#include "ek/bus.h"

enum { PAGE_SHIFT = 21, FIRST = 480, PAGES = 16 }; // start.S maps nothing from 496 on
enum { DIRECTORY = 2, ENTRIES = 512 };             // the third table; entries per table
#define PRESENT (0xfb | 1ull << 63)                // DEVICES and NO_EXECUTE of start.S
#define MEMORY_END 0x40000000ull                   // the first GB is memory to us
#define FIXED_START 0xfe000000ull                  // mapped by start.S
#define FIXED_END 0x100000000ull
#define PHYSICAL_END (1ull << 52) // SDM volume 3, 4.1.4

extern volatile uint64_t x86_page_tables[];

static unsigned used;

static volatile uint64_t *entry(unsigned page) {
    return &x86_page_tables[DIRECTORY * ENTRIES + FIRST + page];
}

// Number of the physical page that an entry leads to.
static uint64_t frame(unsigned page) { return (*entry(page) & (PHYSICAL_END - 1)) >> PAGE_SHIFT; }

uintptr_t ek_bus_map(uint64_t address, uint32_t size) {
    uint64_t end = address + size;
    if (size == 0 || address < MEMORY_END || address >= PHYSICAL_END || end > PHYSICAL_END) {
        return 0;
    }
    if (address >= FIXED_START && end <= FIXED_END) {
        return (uintptr_t)address;
    }
    uint64_t first = address >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
    unsigned count = (unsigned)(last - first) + 1;
    unsigned page = 0; // where the region was mapped before, or behind all others
    while (page + count <= used && frame(page) != first) {
        page++;
    }
    bool known = page + count <= used && frame(page + count - 1) == last;
    page = known ? page : used;
    if (page + count > PAGES) {
        return 0;
    }
    for (unsigned i = 0; i < count && used < page + count; i++) {
        uintptr_t here = (uintptr_t)(FIRST + used) << PAGE_SHIFT;
        *entry(used) = (first + i) << PAGE_SHIFT | PRESENT;
        __asm__ volatile("invlpg (%0)" : : "r"(here) : "memory");
        used++;
    }
    return ((uintptr_t)(FIRST + page) << PAGE_SHIFT) + (uintptr_t)(address & 0x1fffff);
}
