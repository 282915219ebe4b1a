// luminary_watchdog.c: the watchdog of Stellaris LM3S chips. Its counter reaches 0 twice, the first
// time raising an interrupt that nobody enables here, the second time resetting the chip.
// Datasheet: TI LM3S6965, chapters Watchdog Timer and System Control; names in parentheses are its
// registers.
#include "luminary_watchdog.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { LOAD = 0x00, CTL = 0x08, ICR = 0x0c, TEST = 0x418, LOCK = 0xc00 };
enum { INTEN = 1u << 0, RESEN = 1u << 1 }; // (WDTCTL)
enum { STALL = 1u << 8 };                  // (WDTTEST) stand still while a debugger halts the core
#define UNLOCK 0x1acce551u                 // (WDTLOCK)
enum { LOCKED = 0 };

enum { RESC = 0x05c, RCGC0 = 0x100 };       // system control
enum { RESC_WDT = 1u << 3, WDT = 1u << 3 }; // (RESC, RCGC0)

// The register keeps every cause until it is cleared, and holds nothing else.
static int expired(const void *dev) {
    const struct luminary_watchdog *watchdog = dev;
    uint32_t causes = ek_read32(watchdog->sysctl + RESC);
    ek_write32(watchdog->sysctl + RESC, 0);
    return causes & RESC_WDT ? 1 : 0;
}

static int start(const void *dev, uint32_t timeout_ms) {
    const struct luminary_watchdog *watchdog = dev;
    ek_assert(watchdog->base != 0);
    uint64_t ticks = (uint64_t)timeout_ms * (watchdog->clock_hz / 1000) / 2;
    if (ticks == 0 || ticks > UINT32_MAX) {
        return EK_EINVAL;
    }
    ek_write32(watchdog->sysctl + RCGC0, ek_read32(watchdog->sysctl + RCGC0) | WDT);
    // A gate opens within three clocks; reading the register back takes as long.
    (void)ek_read32(watchdog->sysctl + RCGC0);

    ek_write32(watchdog->base + LOCK, UNLOCK);
    ek_write32(watchdog->base + LOAD, (uint32_t)ticks);
    ek_write32(watchdog->base + ICR, 1); // of an earlier owner
    ek_write32(watchdog->base + TEST, STALL);
    ek_write32(watchdog->base + CTL, RESEN);
    ek_write32(watchdog->base + CTL, RESEN | INTEN); // starts it; only a reset clears INTEN
    ek_write32(watchdog->base + LOCK, LOCKED);       // a program gone wild does not stop it
    return EK_OK;
}

static void feed(const void *dev) {
    const struct luminary_watchdog *watchdog = dev;
    ek_write32(watchdog->base + LOCK, UNLOCK);
    ek_write32(watchdog->base + ICR, 1); // any value: loads the counter anew
    ek_write32(watchdog->base + LOCK, LOCKED);
}

const struct ek_watchdog_ops luminary_watchdog_ops = {
    .expired = expired, .start = start, .feed = feed};
