// divide.h: 64-bit division for processors that divide 32 bits.
#ifndef THUMB_DIVIDE_H
#define THUMB_DIVIDE_H
#include <stdint.h>
// A division by zero faults.
uint64_t thumb_divide(uint64_t n, uint64_t d, uint64_t *remainder);
int64_t thumb_divide_signed(int64_t n, int64_t d, int64_t *remainder);
#endif
