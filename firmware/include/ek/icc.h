// ek/icc.h: a GICv3's interface to the processor, which is system registers (Arm IHI 0069, 12.2).
// Only drivers of interrupt controllers include it, and only on Armv8-A, which defines it.
#ifndef EK_ICC_H
#define EK_ICC_H
#include <stdint.h>

// The interrupt group that signals us: 0 in the secure state, else 1.
unsigned ek_icc_group(void);
// Use the registers; signal our group's lines of higher priority than `mask`.
void ek_icc_start(uint32_t mask);
// The line that is pending, now active; 1020 and up: none.
uint32_t ek_icc_acknowledge(void);
// It is no longer active.
void ek_icc_end(uint32_t line);
#endif
