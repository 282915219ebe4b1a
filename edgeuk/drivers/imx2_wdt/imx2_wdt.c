// imx2_wdt.c: the watchdog of i.MX chips (i.MX 6, 7 and 8M alike). Once it
// runs, nothing but a reset stops it. Document: NXP IMX6ULRM, chapter WDOG;
// names in parentheses are its registers. Offsets, bits, what they mean and the
// sequence were checked against Linux' imx2_wdt.c and NXP's PERI_WDOG.h (i.MX
// 8MP). Not checked: the 16 s of the power-down counter, what is written once.
// Left out: the interrupt before the time is over. Interrupts are only taken
// while the loop sleeps, and a loop that hangs does not sleep.
#include "imx2_wdt.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { WCR = 0x00, WSR = 0x02, WRSR = 0x04, WMCR = 0x08 }; // 16 bits each
// (WDOG_WCR) WDW and WDZST, left 0, would stop it in the processor's low-power
// modes. WDBG stops it while a debugger holds the processor; it can be written
// once. WDA and SRS are active low.
enum { WCR_WDBG = 1u << 1, WCR_WDE = 1u << 2, WCR_WDT = 1u << 3 };
enum { WCR_SRS = 1u << 4, WCR_WDA = 1u << 5, WCR_WT_SHIFT = 8 };
enum { SEQUENCE_1 = 0x5555, SEQUENCE_2 = 0xaaaa }; // (WDOG_WSR)
enum { WRSR_TOUT = 1u << 1 };                      // (WDOG_WRSR) kept until the next reset
enum { STEP_MS = 500, STEPS_MAX = 256 };           // (WT) 0 is one step

static int expired(const void *dev) {
    const struct imx2_wdt *watchdog = dev;
    return ek_read16(watchdog->base + WRSR) & WRSR_TOUT ? 1 : 0;
}

static void feed(const void *dev) {
    const struct imx2_wdt *watchdog = dev;
    ek_write16(watchdog->base + WSR, SEQUENCE_1);
    ek_write16(watchdog->base + WSR, SEQUENCE_2);
}

static int start(const void *dev, uint32_t timeout_ms) {
    const struct imx2_wdt *watchdog = dev;
    ek_assert(watchdog->base != 0);
    uint32_t steps = timeout_ms / STEP_MS;
    if (steps == 0 || steps > STEPS_MAX) {
        return EK_EINVAL;
    }
    // Else a counter of its own pulls WDOG_B low 16 s after power-up (WDOG_WMCR,
    // PDE).
    ek_write16(watchdog->base + WMCR, 0);
    // On many boards the pin WDOG_B makes the power supply begin anew, which
    // resets what is around the chip as well.
    ek_write16(watchdog->base + WCR, (uint16_t)((steps - 1) << WCR_WT_SHIFT | WCR_WDA | WCR_SRS |
                                                WCR_WDT | WCR_WDE | WCR_WDBG));
    feed(dev); // takes over the new time
    return EK_OK;
}

const struct ek_watchdog_ops imx2_wdt_ops = {.expired = expired, .start = start, .feed = feed};
