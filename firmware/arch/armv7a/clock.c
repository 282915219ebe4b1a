// clock.c: the generic timer's physical counter, and sleep (Arm DDI 0406C, B8).
//
// Interrupts stay masked in the processor for good: WFI ends by an interrupt that is pending at the
// interrupt controller, taken or not (B1.8.14), and so none is lost between the last poll and WFI.
// A device's level goes away when its driver has served it, the timer's when it is switched off.
// Not the virtual counter: its offset is unknown where nobody in Hyp mode has set it.
#include "arch/arch.h"
#include "arch/armv7a/core.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/intc.h"
#include "ek/soc.h"

enum { SECURE_TIMER_IRQ = 29, TIMER_IRQ = 30 }; // one timer, by the state that we run in (B8.1.3)
enum { CTL_ENABLE = 1 };                        // CNTP_CTL, IMASK clear (B8.1.8)
enum { SECOND_US = 1000000 };

// Sleep at most this long: an emulator's user networking looks at its sockets only when something
// else wakes it, and a device whose interrupt got lost is polled.
enum { IDLE_MAX_US = 10000 };

static uint32_t counter_hz;

static uint64_t counter(void) {
    uint64_t value;
    __asm__ volatile("isb\n mrrc p15, 0, %Q0, %R0, c14" : "=r"(value)::"memory"); // CNTPCT
    return value;
}

void arch_init(void) {
    ek_assert(ek_role_intc.ops != NULL);
    ek_assert(ek_role_soc.ops != NULL);
    // What does not start is found by its user. There is no console yet to say so.
    (void)ek_role_soc.ops->init(ek_role_soc.dev);
    // The boot loader writes the frequency; where none did, the soc knows what it started.
    counter_hz = READ_CP15(0, 14, 0, 0); // CNTFRQ
    if (counter_hz == 0) {
        counter_hz = EK_CPU_CLOCK_HZ;
    }
    ek_assert(counter_hz != 0);
    WRITE_CP15(0, 14, 2, 1, 0);
    ek_role_intc.ops->init(ek_role_intc.dev);
    ek_role_intc.ops->enable(ek_role_intc.dev, SECURE_TIMER_IRQ);
    ek_role_intc.ops->enable(ek_role_intc.dev, TIMER_IRQ);
    for (uint16_t i = 0; i < ek_irq_count; i++) {
        ek_role_intc.ops->enable(ek_role_intc.dev, ek_irqs[i]);
    }
}

uint64_t arch_clock_us(void) {
    if (counter_hz == 0) {
        return 0;
    }
    uint64_t ticks = counter() - armv7a_entry_counter;
    return ticks / counter_hz * SECOND_US + ticks % counter_hz * SECOND_US / counter_hz;
}

void arch_idle(uint64_t deadline_us) {
    uint64_t now_us = arch_clock_us();
    if (deadline_us <= now_us) {
        return;
    }
    uint64_t sleep_us = deadline_us - now_us < IDLE_MAX_US ? deadline_us - now_us : IDLE_MAX_US;
    uint64_t ticks = (sleep_us * counter_hz + SECOND_US - 1) / SECOND_US; // at least a tick
    WRITE_CP15_64(2, 14, counter() + ticks);                              // CNTP_CVAL
    WRITE_CP15(0, 14, 2, 1, CTL_ENABLE);
    __asm__ volatile("isb\n dsb\n wfi" ::: "memory");
    WRITE_CP15(0, 14, 2, 1, 0);
    __asm__ volatile("isb" ::: "memory");
    ek_role_intc.ops->clear(ek_role_intc.dev); // ends what a device only signals by an edge
}
