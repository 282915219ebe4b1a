// clock.c: time from SysTick (Arm DDI 0403E, B3.3), and sleep.
//
// SysTick counts down from a long period, so that time survives a processor that is stopped for
// that long (a flash erase, a debugger, a busy host below an emulator). Waking at a given time is
// left to a timer of the chip (ek/soc.h): SysTick cannot be moved without losing time.
#include "arch/arch.h"
#include "arch/armv7m/core.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/critical.h"
#include "ek/mmio.h"
#include "ek/soc.h"

enum { CLOCK_MHZ = EK_CPU_CLOCK_HZ / 1000000 };
_Static_assert(EK_CPU_CLOCK_HZ % 1000000 == 0, "the conversion to microseconds is in whole MHz");

// The longest whole milliseconds in 24 bits: 335 ms at 50 MHz.
enum { PERIOD_US = (1 << 24) / CLOCK_MHZ / 1000 * 1000, PERIOD_TICKS = PERIOD_US * CLOCK_MHZ };

enum { CSR_ENABLE = 1u << 0, CSR_TICKINT = 1u << 1, CSR_CLKSOURCE = 1u << 2 }; // (B3.3.3)
enum { ICSR_PENDSTSET = 1u << 26 };                                            // (B3.2.4)

// Sleep at most this long: an emulator's user networking looks at its sockets only when something
// else wakes it, and a device whose interrupt got lost is polled.
enum { IDLE_MAX_US = 10000 };
enum { START_POLLS_MAX = 10000 };

static volatile uint64_t period_start_us; // written by the SysTick interrupt only

void armv7m_tick(void) { period_start_us += PERIOD_US; }

// A device's interrupt line goes off until the next arch_idle(): its driver polls.
void armv7m_wake(void) {
    uint32_t line = (ek_read32(SCB_ICSR) & 0x1FF) - 16; // VECTACTIVE (B3.2.4)
    ek_write32(NVIC_ICER + line / 32 * 4, 1u << line % 32);
}

void arch_init(void) {
    ek_assert(ek_role_soc.ops != NULL);
    for (unsigned i = 0; i < ek_irq_count; i++) {
        ek_assert(ek_irqs[i] < EK_IRQ_VECTORS); // else start.c has no vector for it
    }
    // Without a stable clock the chip stays on its slow one. There is no console yet to say so.
    (void)ek_role_soc.ops->init(ek_role_soc.dev);
    ek_write32(SYST_RVR, PERIOD_TICKS - 1);
    ek_write32(SYST_CVR, 0);
    ek_write32(SYST_CSR, CSR_CLKSOURCE | CSR_TICKINT | CSR_ENABLE);
    // It starts at the next clock, in QEMU up to some milliseconds later; no harm if it is late.
    for (unsigned polls = 0; polls < START_POLLS_MAX && ek_read32(SYST_CVR) == 0; polls++) {
    }
}

uint64_t arch_clock_us(void) {
    static uint64_t last_us;
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n cpsid i" : "=r"(masked)::"memory");
    uint64_t us = period_start_us;
    uint32_t left = ek_read32(SYST_CVR);
    if (ek_read32(SCB_ICSR) & ICSR_PENDSTSET) {
        // A period ended and was not counted yet, perhaps after `left` was read.
        us += PERIOD_US;
        left = ek_read32(SYST_CVR);
    }
    // The interrupt comes with 0, so that 0 is the first tick of the new period (B3.3.1).
    us += left != 0 ? (PERIOD_TICKS - left) / CLOCK_MHZ : 0;
    // QEMU shows 0 for some time before it raises the interrupt. Time stands still meanwhile.
    if (us < last_us) {
        us = last_us;
    }
    last_us = us;
    if (!(masked & 1)) {
        __asm__ volatile("cpsie i" ::: "memory");
    }
    return us;
}

void arch_idle(uint64_t deadline_us) {
    uint64_t now_us = arch_clock_us();
    if (deadline_us <= now_us) {
        return;
    }
    uint64_t sleep_us = deadline_us - now_us;
    ek_role_soc.ops->wake_in(ek_role_soc.dev,
                             sleep_us < IDLE_MAX_US ? (uint32_t)sleep_us : IDLE_MAX_US);
    // With PRIMASK set an interrupt still ends WFI, also one that came before it (B1.5.19).
    __asm__ volatile("cpsid i" ::: "memory");
    for (unsigned i = 0; i < ek_irq_count; i++) {
        ek_write32(NVIC_ISER + ek_irqs[i] / 32u * 4, 1u << ek_irqs[i] % 32);
    }
    __asm__ volatile("dsb\n wfi\n cpsie i\n isb" ::: "memory");
}

uint32_t ek_critical_enter(void) {
    uint32_t masked;
    __asm__ volatile("mrs %0, primask\n cpsid i" : "=r"(masked)::"memory");
    return masked;
}

void ek_critical_leave(uint32_t before) {
    __asm__ volatile("msr primask, %0" ::"r"(before) : "memory");
}
