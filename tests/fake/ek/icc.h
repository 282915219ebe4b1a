// tests/fake/ek/icc.h: a GICv3's system registers, as if they were memory-mapped: our group, then
// priority mask and group enable, acknowledge, end.
#ifndef EK_ICC_H
#define EK_ICC_H
#include "ek/mmio.h"

enum { FAKE_ICC = 0x10100000 };

static inline unsigned ek_icc_group(void) { return ek_read32(FAKE_ICC); }
static inline void ek_icc_start(uint32_t mask) { ek_write32(FAKE_ICC + 4, mask); }
static inline uint32_t ek_icc_acknowledge(void) { return ek_read32(FAKE_ICC + 8); }
static inline void ek_icc_end(uint32_t line) { ek_write32(FAKE_ICC + 12, line); }
#endif
