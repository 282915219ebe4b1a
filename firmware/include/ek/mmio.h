// ek/mmio.h: the one way to a memory-mapped register, so that a test can play the device.
#ifndef EK_MMIO_H
#define EK_MMIO_H
#include <stdint.h>

static inline uint32_t ek_read32(uintptr_t addr) { return *(volatile uint32_t *)addr; }
static inline void ek_write32(uintptr_t addr, uint32_t value) {
    *(volatile uint32_t *)addr = value;
}
static inline uint16_t ek_read16(uintptr_t addr) { return *(volatile uint16_t *)addr; }
static inline void ek_write16(uintptr_t addr, uint16_t value) {
    *(volatile uint16_t *)addr = value;
}
static inline uint8_t ek_read8(uintptr_t addr) { return *(volatile uint8_t *)addr; }
static inline void ek_write8(uintptr_t addr, uint8_t value) { *(volatile uint8_t *)addr = value; }
#endif
