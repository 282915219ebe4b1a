// core.h: what the files of this architecture share. Numbers in parentheses in them are sections
// of Arm DDI 0487 (Arm Architecture Reference Manual for A-profile).
#ifndef AARCH64_CORE_H
#define AARCH64_CORE_H
#include <stdint.h>

// Written by start.S.
struct aarch64_entry {
    uint64_t level;   // exception level we were entered at: 1 to 3
    uint64_t counter; // CNTVCT at entry
};
extern struct aarch64_entry aarch64_entry;

// Of link.ld.in.
extern const uint8_t __text_start[], __text_end[];
extern const uint8_t __rodata_start[], __rodata_end[];
extern const uint8_t __ram_start[], __ram_end[];
extern const uint8_t __stack_bottom[], __stack_top[];
extern const uint8_t __config_start[], __config_end[];

void aarch64_mmu_on(void);

// System registers by name.
#define READ_SYSTEM(name)                                                                          \
    ({                                                                                             \
        uint64_t value_;                                                                           \
        __asm__ volatile("mrs %0, " name : "=r"(value_));                                          \
        value_;                                                                                    \
    })
#define WRITE_SYSTEM(name, value) __asm__ volatile("msr " name ", %0" ::"r"((uint64_t)(value)))
#endif
