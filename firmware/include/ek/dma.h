// ek/dma.h: order and visibility of memory shared with a device that reads and writes it by itself.
#ifndef EK_DMA_H
#define EK_DMA_H
#include <stddef.h>

// Everything before is visible to devices, and everything they wrote before is visible here, before
// anything after. The arch defines it.
void ek_dma_barrier(void);
// Write dirty cache lines back before a device reads [addr, addr + len); drop lines before the CPU
// reads what a device wrote. Nothing where memory is coherent or uncached.
void ek_dma_clean(const void *addr, size_t len);
void ek_dma_invalidate(void *addr, size_t len);
#endif
