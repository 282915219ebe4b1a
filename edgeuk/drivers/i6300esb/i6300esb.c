// i6300esb.c: the watchdog of Intel's 6300ESB I/O controller hub, a PCI
// function of its own, which emulators have too. Two counters run one after the
// other; when the second ends, it resets. Document: Intel 300641, chapter
// Watchdog Timer (WDT); names in parentheses are its. Offsets, bits and
// sequences were checked against Linux' i6300esb.c and QEMU's wdt_i6300esb.c;
// the tick is by PCI's 33.3 MHz, where QEMU counts with 33.
// Left out: the interrupt after the first counter. Interrupts are only taken
// while the loop sleeps, and a loop that hangs does not sleep. The lock, which
// would keep it from every other program.
#include "i6300esb.h"
#include "ek/mmio.h"
#include "ek/pci.h"

enum { VENDOR_8086_DEVICE_25AB = 0x25ab8086 };
enum { CONFIG = 0x60, LOCK = 0x68 }; // configuration space: 16 and 8 bits
enum { CONFIG_NO_INTERRUPT = 3 };    // (WDT_INT_TYPE) bit 5, 0: reset; bit 2, 0: 1 kHz
enum { LOCK_ENABLE = 1u << 1 };      // (WDT_ENABLE)
enum { PRELOAD_1 = 0x00, PRELOAD_2 = 0x04, RELOAD = 0x0c, REGISTERS = 0x10 };
enum { UNLOCK_1 = 0x80, UNLOCK_2 = 0x86 }; // to the reload register, before every write
enum { RELOAD_NOW = 1u << 8, RELOAD_TIMEOUT = 1u << 9 };
enum { TICK_NS = 983040, PRELOAD_MAX = 0xfffff }; // 2^15 clocks of 33.3 MHz; 20 bits

static bool find(const struct i6300esb *watchdog) {
    struct i6300esb_state *state = watchdog->state;
    struct ek_pci_scan scan = {0};
    struct ek_pci_bar bars[EK_PCI_BARS];
    uint64_t window = watchdog->window;
    bool looking = !state->searched;
    state->searched = true;
    while (looking && ek_pci_next(&scan, &state->function)) {
        if (ek_pci_read32(state->function, EK_PCI_ID) == VENDOR_8086_DEVICE_25AB) {
            ek_pci_open(state->function, &window, bars);
            state->base = ek_pci_map(bars, 0, 0, REGISTERS);
            looking = false;
        }
    }
    return state->base != 0;
}

static void unlock(uintptr_t base) {
    ek_write16(base + RELOAD, UNLOCK_1);
    ek_write16(base + RELOAD, UNLOCK_2);
}

static int expired(const void *dev) {
    const struct i6300esb *watchdog = dev;
    if (!find(watchdog)) {
        return EK_ENOENT;
    }
    uintptr_t base = watchdog->state->base;
    if (!(ek_read16(base + RELOAD) & RELOAD_TIMEOUT)) {
        return 0;
    }
    unlock(base);
    ek_write16(base + RELOAD, RELOAD_TIMEOUT); // a one clears it
    return 1;
}

static void feed(const void *dev) {
    const struct i6300esb *watchdog = dev;
    unlock(watchdog->state->base);
    ek_write16(watchdog->state->base + RELOAD, RELOAD_NOW);
}

static int start(const void *dev, uint32_t timeout_ms) {
    const struct i6300esb *watchdog = dev;
    if (!find(watchdog)) {
        return EK_ENOENT;
    }
    uint64_t ticks = (uint64_t)timeout_ms * 1000000 / 2 / TICK_NS;
    if (ticks == 0 || ticks > PRELOAD_MAX) {
        return EK_EINVAL;
    }
    uintptr_t base = watchdog->state->base;
    ek_pci_write16(watchdog->state->function, CONFIG, CONFIG_NO_INTERRUPT);
    unlock(base);
    ek_write32(base + PRELOAD_1, (uint32_t)ticks);
    unlock(base);
    ek_write32(base + PRELOAD_2, (uint32_t)ticks);
    feed(dev); // takes over the new time, should it run already
    ek_pci_write8(watchdog->state->function, LOCK, LOCK_ENABLE);
    return EK_OK;
}

const struct ek_watchdog_ops i6300esb_ops = {.expired = expired, .start = start, .feed = feed};
