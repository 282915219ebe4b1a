// clock.c: the generic timer's virtual counter, and sleep (Arm DDI 0487, D11).
//
// Interrupts stay masked in the processor for good: WFI ends by an interrupt that is pending at the
// interrupt controller, taken or not (D1.16.2), and so none is lost between the last poll and WFI.
// A device's level goes away when its driver has served it, the timer's when it is switched off.
#include "arch/aarch64/core.h"
#include "arch/arch.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/intc.h"
#include "ek/soc.h"

enum { TIMER_IRQ = 27 }; // virtual timer: private line 11, as on every Armv8-A system so far
enum { CTL_ENABLE = 1 }; // CNTV_CTL_EL0, IMASK clear
enum { SECOND_US = 1000000 };

// Sleep at most this long. On a chip with devices of its own as in armv7a: an emulator's user
// networking looks at its sockets only when something else wakes it, and a device whose interrupt
// got lost is polled.
enum { IDLE_MAX_US = 60 * SECOND_US, IDLE_MAX_SOC_US = 10000 };

// What a board without the role `soc` has.
__attribute__((weak)) const struct ek_soc ek_role_soc = {0};

static uint64_t counter_hz;

static uint64_t counter(void) {
    __asm__ volatile("isb"); // not read ahead of what comes before (D11.2.1)
    return READ_SYSTEM("cntvct_el0");
}

void arch_init(void) {
    if (ek_role_soc.ops != NULL) {
        // What does not start is found by its user. There is no console yet to say so.
        (void)ek_role_soc.ops->init(ek_role_soc.dev);
    }
    // The firmware before us writes the frequency; where none did, the soc knows what it started.
    counter_hz = READ_SYSTEM("cntfrq_el0");
    if (counter_hz == 0) {
        counter_hz = EK_CPU_CLOCK_HZ;
    }
    ek_assert(counter_hz != 0);
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
    uint64_t max_us = ek_role_soc.ops != NULL ? IDLE_MAX_SOC_US : IDLE_MAX_US;
    if (deadline_us - now_us > max_us) {
        deadline_us = now_us + max_us;
    }
    WRITE_SYSTEM("cntv_cval_el0", aarch64_entry.counter + ticks_of(deadline_us));
    WRITE_SYSTEM("cntv_ctl_el0", CTL_ENABLE);
    __asm__ volatile("isb\n dsb sy\n wfi" ::: "memory");
    WRITE_SYSTEM("cntv_ctl_el0", 0);
    __asm__ volatile("isb" ::: "memory");
    ek_role_intc.ops->clear(ek_role_intc.dev); // ends what a device only signals by an edge
}
