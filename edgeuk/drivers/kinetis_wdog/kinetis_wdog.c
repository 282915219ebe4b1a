// kinetis_wdog.c: the watchdog of Kinetis K chips. It runs out of reset; the soc driver stops it in
// time, this one starts it again on the 1 kHz oscillator, which nothing else can stop.
// Document: NXP K64P144M120SF5RM, chapters WDOG and RCM; names in parentheses are its registers.
// Offsets and bits were checked against NXP's MK64F12.h, words, RESERVED and the order against its
// fsl_wdog.c and system_MK64F12.c, times against the same chapter in the manuals of K20 and K22.
// Left out: the warning, which comes only 256 bus clocks before the reset; windows, self-test.
#include "kinetis_wdog.h"
#include "ek/assert.h"
#include "ek/critical.h"
#include "ek/mmio.h"

// Registers of 16 bits, offsets in bytes, then the bits used.
enum { STCTRLH = 0x00, TOVALH = 0x04, TOVALL = 0x06, REFRESH = 0x0c, UNLOCK = 0x0e, PRESC = 0x16 };
enum {
    WDOGEN = 1u << 0,
    ALLOWUPDATE = 1u << 4, // start() may come again
    STOPEN = 1u << 6,
    WAITEN = 1u << 7, // the processor sleeps in Wait mode
    RESERVED = 1u << 8,
};
enum { UNLOCK_1 = 0xc520, UNLOCK_2 = 0xd928, REFRESH_1 = 0xa602, REFRESH_2 = 0xb480 };
enum { BY_WATCHDOG = 1u << 5 }; // (SRS0)
enum { TICKS_MIN = 4 };         // (TOVALL)

// The register is of the last reset only, whatever its cause: nothing to forget.
static int expired(const void *dev) {
    const struct kinetis_wdog *watchdog = dev;
    return ek_read8(watchdog->reset_status) & BY_WATCHDOG ? 1 : 0;
}

// Two words within 20 bus clocks, or it resets: an interrupt between them would take longer.
static int start(const void *dev, uint32_t timeout_ms) {
    const struct kinetis_wdog *watchdog = dev;
    ek_assert(watchdog->base != 0);
    if (timeout_ms < TICKS_MIN) {
        return EK_EINVAL;
    }
    uint32_t before = ek_critical_enter();
    ek_write16(watchdog->base + UNLOCK, UNLOCK_1);
    ek_write16(watchdog->base + UNLOCK, UNLOCK_2);
    (void)ek_read16(watchdog->base + STCTRLH); // in the next bus clock it takes no value yet
    // Within 256 bus clocks; each takes one value only.
    ek_write16(watchdog->base + PRESC, 0); // 1 ms each
    ek_write16(watchdog->base + TOVALH, (uint16_t)(timeout_ms >> 16));
    ek_write16(watchdog->base + TOVALL, (uint16_t)timeout_ms);
    ek_write16(watchdog->base + STCTRLH, RESERVED | WAITEN | STOPEN | ALLOWUPDATE | WDOGEN);
    ek_critical_leave(before);
    return EK_OK;
}

static void feed(const void *dev) {
    const struct kinetis_wdog *watchdog = dev;
    uint32_t before = ek_critical_enter();
    ek_write16(watchdog->base + REFRESH, REFRESH_1);
    ek_write16(watchdog->base + REFRESH, REFRESH_2);
    ek_critical_leave(before);
}

const struct ek_watchdog_ops kinetis_wdog_ops = {.expired = expired, .start = start, .feed = feed};
