// divide.h: 64-bit division for processors that divide 32 bits.
#ifndef ARMV7M_DIVIDE_H
#define ARMV7M_DIVIDE_H
#include <stdint.h>
// d != 0: where the processor traps a division by zero, this does so too.
uint64_t armv7m_divide(uint64_t n, uint64_t d, uint64_t *remainder);
int64_t armv7m_divide_signed(int64_t n, int64_t d, int64_t *remainder);
#endif
