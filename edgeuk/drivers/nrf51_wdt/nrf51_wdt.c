// nrf51_wdt.c: watchdog of the nRF51. Once started it can neither be stopped nor changed until the
// chip is reset, and a reset by software may leave it running; its 32768 Hz clock it starts itself.
// Document: nRF51 Series Reference Manual 3.0, WDT and POWER; names in parentheses are its
// registers. Offsets, bits and RELOAD were checked against Nordic's nrf51.svd and
// nrf51_bitfields.h, the time and what is locked against Nordic's pages on the WDT of later chips,
// the least CRV and that it survives a reset against users' reports (picoruby, Mynewt).
#include "nrf51_wdt.h"
#include "ek/mmio.h"

enum { START = 0x000, INTENCLR = 0x308, RUNSTATUS = 0x400, CRV = 0x504, RREN = 0x508 };
enum { CONFIG = 0x50c, RR = 0x600, REQUESTS = 8 };
enum {
    CONFIG_SLEEP = 1u << 0
}; // (CONFIG) run while the core sleeps, stand still while it is halted
#define RELOAD 0x6e524635u // (RR)
enum { HZ = 32768, CRV_MIN = 15 };

enum { RESETREAS = 0x400, DOG = 1u << 1 }; // (POWER)

// The register keeps every cause until ones are written to it.
static int expired(const void *dev) {
    const struct nrf51_wdt *watchdog = dev;
    uint32_t causes = ek_read32(watchdog->power + RESETREAS);
    ek_write32(watchdog->power + RESETREAS, causes);
    return causes & DOG ? 1 : 0;
}

// It reloads when every request register in use was written (RREN): all of an earlier owner's too.
static void feed(const void *dev) {
    const struct nrf51_wdt *watchdog = dev;
    uint32_t enabled = ek_read32(watchdog->base + RREN);
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (enabled >> i & 1) {
            ek_write32(watchdog->base + RR + 4 * i, RELOAD);
        }
    }
}

// One that runs keeps the time it was started with: it is fed, and guards the loop as well.
static int start(const void *dev, uint32_t timeout_ms) {
    const struct nrf51_wdt *watchdog = dev;
    uint64_t ticks = (uint64_t)timeout_ms * HZ / 1000; // it expires after CRV + 1 of them
    if (ticks <= CRV_MIN || ticks - 1 > UINT32_MAX) {
        return EK_EINVAL;
    }
    if (ek_read32(watchdog->base + RUNSTATUS) == 0) {
        ek_write32(watchdog->base + INTENCLR, UINT32_MAX);
        ek_write32(watchdog->base + CRV, (uint32_t)ticks - 1);
        ek_write32(watchdog->base + RREN, 1);
        ek_write32(watchdog->base + CONFIG, CONFIG_SLEEP);
        ek_write32(watchdog->base + START, 1);
    }
    feed(dev);
    return EK_OK;
}

const struct ek_watchdog_ops nrf51_wdt_ops = {.expired = expired, .start = start, .feed = feed};
