// core.h: what the files of this architecture share. Numbers in parentheses in them are sections
// of Arm DDI 0406C (Arm Architecture Reference Manual, Armv7-A and Armv7-R edition).
#ifndef ARMV7A_CORE_H
#define ARMV7A_CORE_H
#include <stdint.h>
#include "arch/thumb/thumb.h"

extern uint64_t armv7a_entry_counter; // CNTPCT at entry; written by start.S

// Of link.ld.in.
extern const uint8_t __rodata_start[], __rodata_end[], __image_end[];
extern const uint8_t __ram_start[], __ram_end[];
extern const uint8_t __config_start[], __config_end[];

void armv7a_mmu_on(void);

// Registers of coprocessor 15, by the numbers of the manual: opc1, CRn, CRm, opc2.
#define READ_CP15(opc1, crn, crm, opc2)                                                            \
    ({                                                                                             \
        uint32_t value_;                                                                           \
        __asm__ volatile("mrc p15, " #opc1 ", %0, c" #crn ", c" #crm ", " #opc2 : "=r"(value_));   \
        value_;                                                                                    \
    })
#define WRITE_CP15(opc1, crn, crm, opc2, value)                                                    \
    __asm__ volatile("mcr p15, " #opc1 ", %0, c" #crn ", c" #crm                                   \
                     ", " #opc2::"r"((uint32_t)(value))                                            \
                     : "memory")
// Those of 64 bits: opc1, CRm.
#define WRITE_CP15_64(opc1, crm, value)                                                            \
    __asm__ volatile("mcrr p15, " #opc1 ", %Q0, %R0, c" #crm::"r"((uint64_t)(value)) : "memory")
#endif
