// icc.c: a GICv3's interface to the processor (Arm IHI 0069, 12.2). Registers by their encodings:
// the assembler knows their names only for processors that always have them.
#include "ek/icc.h"
#include "arch/aarch64/core.h"

// Entered at EL3, we are in the secure state, and nobody has given a line to any group yet. Group 0
// is ours there whether the controller tells security states apart or not.
unsigned ek_icc_group(void) { return aarch64_entry.level == 3 ? 0 : 1; }

void ek_icc_start(uint32_t mask) {
    WRITE_SYSTEM("s3_0_c12_c12_5", 7); // ICC_SRE_EL1: registers, no bypass
    __asm__ volatile("isb");
    WRITE_SYSTEM("s3_0_c4_c6_0", mask); // ICC_PMR_EL1
    if (ek_icc_group() == 0) {
        WRITE_SYSTEM("s3_0_c12_c12_6", 1); // ICC_IGRPEN0_EL1
    } else {
        WRITE_SYSTEM("s3_0_c12_c12_7", 1); // ICC_IGRPEN1_EL1
    }
    __asm__ volatile("isb");
}

uint32_t ek_icc_acknowledge(void) {
    uint64_t line = ek_icc_group() == 0 ? READ_SYSTEM("s3_0_c12_c8_0")   // ICC_IAR0_EL1
                                        : READ_SYSTEM("s3_0_c12_c12_0"); // ICC_IAR1_EL1
    __asm__ volatile("dsb sy" ::: "memory");
    return (uint32_t)line & 0xffffff;
}

void ek_icc_end(uint32_t line) {
    if (ek_icc_group() == 0) {
        WRITE_SYSTEM("s3_0_c12_c8_1", line); // ICC_EOIR0_EL1
    } else {
        WRITE_SYSTEM("s3_0_c12_c12_1", line); // ICC_EOIR1_EL1
    }
    __asm__ volatile("isb" ::: "memory");
}
