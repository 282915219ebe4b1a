// imx_power.c: reset of an i.MX chip by a watchdog's software reset signal; an emulator or debugger
// is told an exit status by semihosting.
// Documents: NXP IMX6ULRM, chapter WDOG; Arm Semihosting for AArch32 and AArch64, 2.0.
// The watchdog may be the one that imx2_wdt arms: its reset begins at once, whatever its time is,
// and WDE, which is set already, is written as it is.
// Left out: the external reset pin.
#include "imx_power.h"
#include "ek/mmio.h"
#include "ek/semihosting.h"

enum { WCR = 0x00 };                           // 16 bits
enum { WCR_WDE = 1u << 2, WCR_WDA = 1u << 5 }; // SRS, bit 4, is active low; so is WDA
enum { APPLICATION_EXIT = 0x20026 };           // ADP_Stopped_ApplicationExit (6.5)
enum { TIMES = 3 }; // erratum ERR004346: once may not do, twice within one slow clock does

static void exit(const void *dev, int code) {
    (void)dev;
    const uintptr_t block[2] = {APPLICATION_EXIT, (uintptr_t)code}; // fields of a register (6.6)
    (void)ek_semihosting(EK_SEMIHOSTING_EXIT_EXTENDED, (uintptr_t)block);
}

static void reset(const void *dev) {
    const struct imx_power *power = dev;
    for (unsigned i = 0; i < TIMES; i++) {
        ek_write16(power->base + WCR, WCR_WDE | WCR_WDA);
    }
}

const struct ek_power_ops imx_power_ops = {.exit = exit, .reset = reset};
