// clock.c: sleep. SysTick is optional on these cores, and stands still where the chip stops the
// processor's clock in sleep: time comes from a timer of the chip (ek/soc.h).
//
// Interrupts stay masked for ever: one that is pending ends WFI all the same (Arm DDI 0419E, B1.5),
// the event loop then polls, and no handler runs.
#include "arch/arch.h"
#include "arch/armv6m/core.h"
#include "ek/assert.h"
#include "ek/mmio.h"
#include "ek/soc.h"

// Sleep at most this long: the watchdog is fed, and a device whose interrupt got lost is polled.
enum { IDLE_MAX_US = 1000000 };

static uint32_t lines; // of all devices in use; there are 32 at most (B3.4)

void arch_init(void) {
    ek_assert(ek_role_soc.ops != NULL);
    for (unsigned i = 0; i < ek_irq_count; i++) {
        ek_assert(ek_irqs[i] < 32);
        lines |= 1u << ek_irqs[i];
    }
    // Without a stable clock the chip stays on its own. There is no console yet to say so.
    (void)ek_role_soc.ops->init(ek_role_soc.dev);
}

uint64_t arch_clock_us(void) { return ek_role_soc.ops->clock_us(ek_role_soc.dev); }

// A line that is still up is pending again at once: no interrupt is lost by forgetting.
void arch_idle(uint64_t deadline_us) {
    uint64_t now_us = arch_clock_us();
    if (deadline_us <= now_us) {
        return;
    }
    uint64_t sleep_us = deadline_us - now_us;
    ek_role_soc.ops->wake_in(ek_role_soc.dev,
                             sleep_us < IDLE_MAX_US ? (uint32_t)sleep_us : IDLE_MAX_US);
    ek_write32(NVIC_ICPR, UINT32_MAX);
    ek_write32(NVIC_ISER, lines);
    __asm__ volatile("dsb\n wfi" ::: "memory");
    ek_write32(NVIC_ICER, UINT32_MAX);
}
