// machine.c: what the machine is asked for, of Cortex-M processors (Arm DDI 0403E).
#include "arch/arch.h"
#include "arch/cortex_m/cortex_m.h"
#include "ek/dma.h"
#include "ek/mmio.h"

const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = (size_t)(__config_end - __config_start);
    return __config_start;
}

void arch_reset(void) {
    __asm__ volatile("dsb" ::: "memory");         // let writes end before (B3.2.6)
    ek_write32(SCB_AIRCR, 0x05FA0000u | 1u << 2); // VECTKEY, SYSRESETREQ
    for (;;) {
        __asm__ volatile("wfi");
    }
}

void ek_dma_barrier(void) { __asm__ volatile("dmb" ::: "memory"); }

// No caches on these cores.
void ek_dma_clean(const void *addr, size_t len) {
    (void)addr;
    (void)len;
}

void ek_dma_invalidate(void *addr, size_t len) {
    (void)addr;
    (void)len;
}
