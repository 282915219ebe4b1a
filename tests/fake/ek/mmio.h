// tests/fake/ek/mmio.h: registers that a test plays; see tests/fake/fake.c.
#ifndef EK_MMIO_H
#define EK_MMIO_H
#include <stdint.h>

uint32_t ek_read32(uintptr_t addr);
void ek_write32(uintptr_t addr, uint32_t value);
uint16_t ek_read16(uintptr_t addr);
void ek_write16(uintptr_t addr, uint16_t value);
uint8_t ek_read8(uintptr_t addr);
void ek_write8(uintptr_t addr, uint8_t value);
#endif
