// stellaris_sysctl.c: clocks and pins of a Stellaris LM3S chip, and GPTM0 as its wake-up timer.
// Datasheet: TI LM3S6965; names in parentheses are its registers.
// Left out: sleep-mode clock gates (unused without RCC.ACG), GPIO ports C to G, RCC2.
#include "stellaris_sysctl.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// System control, register offsets in bytes.
enum { RIS = 0x50, MISC = 0x58, RCC = 0x60, RCGC1 = 0x104, RCGC2 = 0x108 };
enum { PLL_LOCKED = 1u << 6 }; // (RIS.PLLLRIS, MISC.PLLLMIS)
enum {
    RCC_OSCSRC = 3u << 4, // 0: main oscillator
    RCC_XTAL_SHIFT = 6,
    RCC_XTAL = 15u << 6,
    RCC_BYPASS = 1u << 11,
    RCC_PWRDN = 1u << 13,
    RCC_USESYSDIV = 1u << 22,
    RCC_SYSDIV_SHIFT = 23,
    RCC_SYSDIV = 15u << 23,
    RCC_MOSCDIS = 1u << 0,
};
enum { RCGC1_TIMER0 = 1u << 16 };
enum { PLL_HZ = 200000000 }; // 400 MHz, halved before SYSDIV

enum { PORT_A = 0x40004000, PORT_B = 0x40005000 };
enum { GPIOAFSEL = 0x420, GPIOODR = 0x50c, GPIODEN = 0x51c };

enum { GPTMCFG = 0x00, GPTMTAMR = 0x04, GPTMCTL = 0x0c, GPTMIMR = 0x18, GPTMICR = 0x24 };
enum { GPTMTAILR = 0x28 };
enum { TAMR_ONE_SHOT = 1, CTL_TAEN = 1u << 0, TIMER_A_TIMEOUT = 1u << 0 };

// The PLL locks within 0.5 ms (T_READY). A poll takes over 100 ns on the crystal's 8 MHz.
enum { POLLS_MAX = 100000 };

// The procedure of "Initialization and Configuration" in the chapter System Control.
static int start_pll(const struct stellaris_sysctl *soc) {
    uint32_t rcc = ek_read32(soc->base + RCC);
    rcc = (rcc | RCC_BYPASS) & ~(uint32_t)RCC_USESYSDIV;
    ek_write32(soc->base + RCC, rcc);

    ek_write32(soc->base + MISC, PLL_LOCKED); // forget an earlier lock
    rcc &= ~(uint32_t)(RCC_XTAL | RCC_OSCSRC | RCC_PWRDN | RCC_MOSCDIS | RCC_SYSDIV);
    rcc |= (uint32_t)soc->crystal << RCC_XTAL_SHIFT;
    ek_write32(soc->base + RCC, rcc);

    rcc |= (PLL_HZ / soc->clock_hz - 1) << RCC_SYSDIV_SHIFT | RCC_USESYSDIV;
    ek_write32(soc->base + RCC, rcc);
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if (ek_read32(soc->base + RIS) & PLL_LOCKED) {
            ek_write32(soc->base + RCC, rcc & ~(uint32_t)RCC_BYPASS);
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

static void set_bits(uintptr_t addr, uint32_t bits) { ek_write32(addr, ek_read32(addr) | bits); }

// A port without pins to change is left alone: its clock may be off.
static void set_pins(uintptr_t port, uint8_t alternate, uint8_t open_drain) {
    if (alternate != 0) {
        set_bits(port + GPIOODR, open_drain);
        set_bits(port + GPIODEN, alternate);
        set_bits(port + GPIOAFSEL, alternate);
    }
}

static int init(const void *dev) {
    const struct stellaris_sysctl *soc = dev;
    ek_assert(soc->clock_hz != 0);
    uint32_t divisor = PLL_HZ / soc->clock_hz;
    if (divisor * soc->clock_hz != PLL_HZ || divisor < 4 || divisor > 16) { // (RCC.SYSDIV)
        return EK_EINVAL;
    }
    int status = start_pll(soc);

    // A gate opens within three clocks; reading the register back takes as long.
    set_bits(soc->base + RCGC1, soc->rcgc1 | RCGC1_TIMER0);
    set_bits(soc->base + RCGC2, soc->rcgc2);
    (void)ek_read32(soc->base + RCGC2);
    set_pins(PORT_A, soc->alternate_a, soc->open_drain_a);
    set_pins(PORT_B, soc->alternate_b, soc->open_drain_b);

    ek_write32(soc->timer + GPTMCTL, 0);
    ek_write32(soc->timer + GPTMCFG, 0); // 32 bits
    ek_write32(soc->timer + GPTMTAMR, TAMR_ONE_SHOT);
    ek_write32(soc->timer + GPTMIMR, TIMER_A_TIMEOUT);
    return status;
}

static void wake_in(const void *dev, uint32_t us) {
    const struct stellaris_sysctl *soc = dev;
    ek_write32(soc->timer + GPTMCTL, 0);
    ek_write32(soc->timer + GPTMICR, TIMER_A_TIMEOUT);
    ek_write32(soc->timer + GPTMTAILR, us * (soc->clock_hz / 1000000));
    ek_write32(soc->timer + GPTMCTL, CTL_TAEN);
}

const struct ek_soc_ops stellaris_sysctl_ops = {.init = init, .wake_in = wake_in};
