// ek/mmio.h: the one way to a memory-mapped register, so that a test can play the device.
#ifndef EK_MMIO_H
#define EK_MMIO_H
#include <stdint.h>

static inline uint32_t ek_read32(uintptr_t addr) { return *(volatile uint32_t *)addr; }
static inline void ek_write32(uintptr_t addr, uint32_t value) {
    *(volatile uint32_t *)addr = value;
}
static inline uint8_t ek_read8(uintptr_t addr) { return *(volatile uint8_t *)addr; }
static inline void ek_write8(uintptr_t addr, uint8_t value) { *(volatile uint8_t *)addr = value; }
#endif
