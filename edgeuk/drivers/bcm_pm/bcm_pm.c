// bcm_pm.c: the watchdog of a BCM2711, in its power manager. It counts down and resets the chip; it
// does not warn before.
// No public data sheet. Offsets, bits and the sequence were checked against Linux' bcm2835_wdt.c
// and bcm2835-power.c, the bits of PM_RSTS against lists for BCM2835 and BCM2836 in other projects.
#include "bcm_pm.h"
#include "ek/assert.h"
#include "ek/mmio.h"

#define PASSWORD 0x5a000000u // in every write, else it is ignored
enum { RSTC = 0x1c, RSTS = 0x20, WDOG = 0x24 };
enum { RSTC_CONFIG = 3u << 4, RSTC_FULL_RESET = 2u << 4 }; // what the end of the count does
// Causes of the last reset: debugger, watchdog, software, power. The other bits choose the
// partition to boot from.
enum { BY_DEBUGGER = 1u << 1, BY_WATCHDOG = 1u << 5, BY_SOFTWARE = 1u << 9, BY_POWER = 1u << 12 };
enum { CAUSES = BY_DEBUGGER | BY_WATCHDOG | BY_SOFTWARE | BY_POWER };
enum { TICKS_MAX = 0xfffff, TICK_HZ = 65536 }; // 16 s
enum { BRIDGE_ID = 0x20 };
#define BRIDGE_IS 0x62726467u // "brdg"

// A reset that bcm_power asked for is made by the watchdog too: it marks them as software's.
static int expired(const void *dev) {
    const struct bcm_pm *pm = dev;
    uint32_t causes = ek_read32(pm->base + RSTS);
    ek_write32(pm->base + RSTS, PASSWORD | (causes & ~(uint32_t)CAUSES));
    if ((causes & CAUSES) == 0) {
        return EK_ENOENT; // some firmware takes them away when it has read them
    }
    return causes & BY_WATCHDOG && !(causes & BY_SOFTWARE) ? 1 : 0;
}

static void feed(const void *dev) {
    const struct bcm_pm *pm = dev;
    if (pm->state->ticks == 0) {
        return;
    }
    ek_write32(pm->base + WDOG, PASSWORD | pm->state->ticks);
    uint32_t control = ek_read32(pm->base + RSTC) & ~(uint32_t)RSTC_CONFIG;
    ek_write32(pm->base + RSTC, PASSWORD | (control & 0xffffff) | RSTC_FULL_RESET);
}

static int start(const void *dev, uint32_t timeout_ms) {
    const struct bcm_pm *pm = dev;
    ek_assert(pm->base != 0);
    uint64_t ticks = (uint64_t)timeout_ms * TICK_HZ / 1000;
    if (ticks == 0 || ticks > TICKS_MAX) {
        return EK_EINVAL;
    }
    // QEMU's model has no bridges, nor time: it would reset as soon as it is started.
    if (pm->bridge != 0 && ek_read32(pm->bridge + BRIDGE_ID) != BRIDGE_IS) {
        return EK_ENOENT;
    }
    pm->state->ticks = (uint32_t)ticks;
    feed(pm);
    return EK_OK;
}

const struct ek_watchdog_ops bcm_pm_ops = {.expired = expired, .start = start, .feed = feed};
