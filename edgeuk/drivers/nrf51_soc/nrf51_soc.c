// nrf51_soc.c: clocks of the nRF51: the 16 MHz crystal, and TIMER0 as clock and wake-up timer.
// Document: nRF51 Series Reference Manual 3.0; names in parentheses are its registers.
//
// TIMER0 counts microseconds in 32 bits. RTC1 on the 32 kHz clock would draw some hundred
// microamperes less in sleep, but counts steps of 30.5 us and would leave the UART, which needs the
// 16 MHz anyway, with its start-up time before every byte. At 1 MHz and below the timer takes the
// slower PCLK1M (chapter TIMER). Left out: the 32 kHz clock (the watchdog starts it by itself), RAM
// and power modes.
#include "nrf51_soc.h"
#include "ek/mmio.h"

enum { HFCLKSTART = 0x000, HFCLKSTARTED = 0x100 }; // (TASKS_, EVENTS_ of CLOCK)
// TIMER: tasks, events, registers.
enum { START = 0x000, STOP = 0x004, CLEAR = 0x00c, CAPTURE1 = 0x044, COMPARE0 = 0x140 };
enum { SHORTS = 0x200, INTENSET = 0x304, INTENCLR = 0x308 };
enum { MODE = 0x504, BITMODE = 0x508, PRESCALER = 0x510, CC0 = 0x540, CC1 = 0x544 };
enum { MODE_TIMER = 0, BITMODE_32 = 3, PRESCALER_1_MHZ = 4 }; // 16 MHz / 2^4
enum { INT_COMPARE0 = 1u << 16 };

// The crystal runs within 1.5 ms (tSTART_XTAL16M of the product specification). A poll of this loop
// takes over 0.3 us.
enum { POLLS_MAX = 20000 };
// From reading the counter to setting the compare register pass less than 3 us at 16 MHz; where the
// processor was held up for longer, by a debugger or below an emulator, it is set again.
enum { LEAST_US = 4, TRIES_MAX = 16 };

static uint32_t now(const struct nrf51_soc *soc) {
    ek_write32(soc->timer + CAPTURE1, 1);
    return ek_read32(soc->timer + CC1);
}

static int start_crystal(const struct nrf51_soc *soc) {
    ek_write32(soc->clock + HFCLKSTARTED, 0);
    ek_write32(soc->clock + HFCLKSTART, 1);
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if (ek_read32(soc->clock + HFCLKSTARTED) != 0) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT; // the RC oscillator goes on: 1 % off, of which a UART
                         // stands 2
}

static int init(const void *dev) {
    const struct nrf51_soc *soc = dev;
    int status = start_crystal(soc);
    ek_write32(soc->timer + STOP, 1);
    ek_write32(soc->timer + INTENCLR, UINT32_MAX);
    ek_write32(soc->timer + SHORTS, 0);
    ek_write32(soc->timer + MODE, MODE_TIMER);
    ek_write32(soc->timer + BITMODE, BITMODE_32);
    ek_write32(soc->timer + PRESCALER, PRESCALER_1_MHZ);
    ek_write32(soc->timer + CLEAR, 1);
    ek_write32(soc->timer + COMPARE0, 0);
    ek_write32(soc->timer + INTENSET, INT_COMPARE0);
    *soc->state = (struct nrf51_soc_state){0};
    ek_write32(soc->timer + START, 1);
    return status;
}

// The interrupt line stays up until the next call clears the event.
static void wake_in(const void *dev, uint32_t us) {
    const struct nrf51_soc *soc = dev;
    if (us < LEAST_US) {
        us = LEAST_US;
    }
    for (int tries = 0; tries < TRIES_MAX; tries++, us *= 2) {
        uint32_t start = now(soc);
        ek_write32(soc->timer + COMPARE0, 0);
        ek_write32(soc->timer + CC0, start + us);
        if (now(soc) - start < us || ek_read32(soc->timer + COMPARE0) != 0) {
            return;
        }
    }
}

// The counter comes round every 71 minutes; it is read far more often.
static uint64_t clock_us(const void *dev) {
    const struct nrf51_soc *soc = dev;
    struct nrf51_soc_state *state = soc->state;
    uint32_t low = now(soc);
    if (low < state->low) {
        state->high++;
    }
    state->low = low;
    return (uint64_t)state->high << 32 | low;
}

const struct ek_soc_ops nrf51_soc_ops = {.init = init, .wake_in = wake_in, .clock_us = clock_us};
