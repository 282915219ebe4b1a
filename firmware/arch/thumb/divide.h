// divide.h: division for processors that divide 32 bits, or none.
#ifndef THUMB_DIVIDE_H
#define THUMB_DIVIDE_H
#include <stdint.h>
// A division by zero faults.
uint64_t thumb_divide(uint64_t n, uint64_t d, uint64_t *remainder);
int64_t thumb_divide_signed(int64_t n, int64_t d, int64_t *remainder);
uint32_t thumb_divide32(uint32_t n, uint32_t d, uint32_t *remainder);
int32_t thumb_divide32_signed(int32_t n, int32_t d, int32_t *remainder);
uint64_t thumb_multiply(uint64_t a, uint64_t b); // modulo 2^64
#endif
