// ek/pio.h: x86 I/O ports. Only drivers of port-mapped devices include it; arch/x86_64 defines it.
#ifndef EK_PIO_H
#define EK_PIO_H
#include <stdint.h>
uint8_t ek_in8(uint16_t port);
void ek_out8(uint16_t port, uint8_t value);
uint16_t ek_in16(uint16_t port);
void ek_out16(uint16_t port, uint16_t value);
uint32_t ek_in32(uint16_t port);
void ek_out32(uint16_t port, uint32_t value);
#endif
