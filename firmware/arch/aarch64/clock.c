// clock.c: the generic timer's virtual counter, and sleep (Arm DDI 0487, D11).
//
// Interrupts stay masked in the processor for good: WFI ends by an interrupt that is pending at the
// interrupt controller, taken or not (D1.16.2), and so none is lost between the last poll and WFI.
// A device's level goes away when its driver has served it, the timer's when it is switched off.
#include "arch/aarch64/core.h"
#include "arch/arch.h"
#include "ek/assert.h"
#include "ek/intc.h"

enum { TIMER_IRQ = 27 }; // virtual timer: private line 11, as on every Armv8-A system so far
enum { CTL_ENABLE = 1 }; // CNTV_CTL_EL0, IMASK clear
enum { SLEEP_S_MAX = 60 };
enum { SECOND_US = 1000000 };

static uint64_t counter_hz;

static uint64_t counter(void) {
    __asm__ volatile("isb"); // not read ahead of what comes before (D11.2.1)
    return READ_SYSTEM("cntvct_el0");
}

void arch_init(void) {
    // Place of the MMU: identity-mapped tables with Normal memory for RAM, a guard page below the
    // stack, and caches on. Until then all memory is of Device type: slow on hardware, and under
    // KVM not coherent with devices, but all the same to an emulator.
    counter_hz = READ_SYSTEM("cntfrq_el0");
    ek_assert(counter_hz != 0); // the firmware before us sets it
    WRITE_SYSTEM("cntv_ctl_el0", 0);
    if (ek_role_intc.ops == NULL) {
        return;
    }
    ek_role_intc.ops->init(ek_role_intc.dev);
    ek_role_intc.ops->enable(ek_role_intc.dev, TIMER_IRQ);
    for (uint16_t i = 0; i < ek_irq_count; i++) {
        ek_role_intc.ops->enable(ek_role_intc.dev, ek_irqs[i]);
    }
}

uint64_t arch_clock_us(void) {
    uint64_t ticks = counter() - aarch64_entry.counter;
    return counter_hz == 0
               ? 0
               : ticks / counter_hz * SECOND_US + ticks % counter_hz * SECOND_US / counter_hz;
}

// Rounded up, so that the clock shows `us` when the timer fires.
static uint64_t ticks_of(uint64_t us) {
    return us / SECOND_US * counter_hz + (us % SECOND_US * counter_hz + SECOND_US - 1) / SECOND_US;
}

void arch_idle(uint64_t deadline_us) {
    uint64_t now_us = arch_clock_us();
    if (deadline_us <= now_us || ek_role_intc.ops == NULL) {
        return;
    }
    if (deadline_us - now_us > (uint64_t)SLEEP_S_MAX * SECOND_US) {
        deadline_us = now_us + (uint64_t)SLEEP_S_MAX * SECOND_US;
    }
    WRITE_SYSTEM("cntv_cval_el0", aarch64_entry.counter + ticks_of(deadline_us));
    WRITE_SYSTEM("cntv_ctl_el0", CTL_ENABLE);
    __asm__ volatile("isb\n dsb sy\n wfi" ::: "memory");
    WRITE_SYSTEM("cntv_ctl_el0", 0);
    __asm__ volatile("isb" ::: "memory");
    ek_role_intc.ops->clear(ek_role_intc.dev); // ends what a device only signals by an edge
}
