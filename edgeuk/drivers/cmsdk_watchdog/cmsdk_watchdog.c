// cmsdk_watchdog.c: the APB watchdog of Arm's Cortex-M System Design Kit, which has the registers
// of SP805. Its counter reaches 0 twice: the first time it interrupts (on AN385: NMI, which ends in
// a panic that says where), the second time it resets.
// Document: Arm DDI 0479, 4.4; names in parentheses are its registers.
#include "cmsdk_watchdog.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { LOAD = 0x00, CONTROL = 0x08, INTCLR = 0x0c, LOCK = 0xc00 };
enum { INTERRUPT_ENABLE = 1u << 0, RESET_ENABLE = 1u << 1 }; // (WDOGCONTROL)
#define UNLOCK 0x1acce551u                                   // (WDOGLOCK)
enum { LOCKED = 1 };
enum { BY_WATCHDOG = 1u << 1, RESET_CAUSES = 7u }; // (RSTINFO)

static int expired(const void *dev) {
    const struct cmsdk_watchdog *watchdog = dev;
    if (watchdog->reset_info == 0) {
        return EK_ENOENT;
    }
    uint32_t causes = ek_read32(watchdog->reset_info);
    ek_write32(watchdog->reset_info, RESET_CAUSES); // ones clear
    return causes & BY_WATCHDOG ? 1 : 0;
}

static int start(const void *dev, uint32_t timeout_ms) {
    const struct cmsdk_watchdog *watchdog = dev;
    ek_assert(watchdog->base != 0);
    uint64_t ticks = (uint64_t)timeout_ms * (watchdog->clock_hz / 1000) / 2;
    if (ticks == 0 || ticks > UINT32_MAX) {
        return EK_EINVAL;
    }
    ek_write32(watchdog->base + LOCK, UNLOCK);
    ek_write32(watchdog->base + LOAD, (uint32_t)ticks); // also begins to count from there
    ek_write32(watchdog->base + INTCLR, 1);             // a warning to an earlier owner
    ek_write32(watchdog->base + CONTROL, RESET_ENABLE | INTERRUPT_ENABLE);
    ek_write32(watchdog->base + LOCK, LOCKED); // a program gone wild does not stop it
    return EK_OK;
}

static void feed(const void *dev) {
    const struct cmsdk_watchdog *watchdog = dev;
    ek_write32(watchdog->base + LOCK, UNLOCK);
    ek_write32(watchdog->base + INTCLR, 1); // any value: loads the counter anew
    ek_write32(watchdog->base + LOCK, LOCKED);
}

const struct ek_watchdog_ops cmsdk_watchdog_ops = {
    .expired = expired, .start = start, .feed = feed};
