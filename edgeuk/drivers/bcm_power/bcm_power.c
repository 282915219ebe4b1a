// bcm_power.c: reset of a BCM2711 by its watchdog; an emulator or debugger is told an exit status
// by semihosting. No public data sheet; registers as Linux has them in bcm2835_wdt.c. Arm
// Semihosting for AArch32 and AArch64, 2.0. Left out: power off, which the chip cannot (it waits
// for its power to be cut).
#include "bcm_power.h"
#include "ek/mmio.h"
#include "ek/semihosting.h"

#define PASSWORD 0x5a000000u // in every write, else it is ignored
enum { RSTC = 0x1c, RSTS = 0x20, WDOG = 0x24 };
enum { RSTC_CONFIG = 3u << 4, RSTC_FULL_RESET = 2u << 4 };
enum { BY_SOFTWARE = 1u << 9 };      // kept over the reset
enum { TICKS = 10 };                 // 150 us, as Linux has it
enum { APPLICATION_EXIT = 0x20026 }; // ADP_Stopped_ApplicationExit (6.5)

static void exit(const void *dev, int code) {
    (void)dev;
    const uintptr_t block[2] = {APPLICATION_EXIT, (uintptr_t)code}; // fields of a register (6.6)
    (void)ek_semihosting(EK_SEMIHOSTING_EXIT_EXTENDED, (uintptr_t)block);
}

static void reset(const void *dev) {
    const struct bcm_power *power = dev;
    ek_write32(power->base + RSTS, PASSWORD | BY_SOFTWARE); // and boot the default partition
    ek_write32(power->base + WDOG, PASSWORD | TICKS);
    uint32_t control = ek_read32(power->base + RSTC) & ~(uint32_t)RSTC_CONFIG;
    ek_write32(power->base + RSTC, PASSWORD | (control & 0xffffff) | RSTC_FULL_RESET);
}

const struct ek_power_ops bcm_power_ops = {.exit = exit, .reset = reset};
