// imx_snvs_rtc.c: the real-time counter in the low-power section of i.MX chips' SNVS, which a coin
// cell keeps: 47 bits at 32,768 Hz, here since 1970.
// Documents: NXP IMX6ULRM, chapter SNVS, which is in the security manual on some chips. Offsets,
// bits, GLITCH_VALUE and how to read and set the counter were checked against Linux' rtc-snvs.c;
// LPCR, LPSR and LPPGDR against NXP's PERI_SNVS.h (i.MX 8MP), PGD against users of NXP's headers.
// Left out: the alarm, calibration, the counter of the high-power section.
#include "imx_snvs_rtc.h"
#include <stdbool.h>
#include "ek/mmio.h"

enum { LPCR = 0x38, LPSR = 0x4c, LPSRTCMR = 0x50, LPSRTCLR = 0x54, LPPGDR = 0x64 };
enum { SRTC_ENV = 1u << 0 };     // (LPCR)
enum { POWER_GLITCH = 1u << 3 }; // (LPSR, PGD) ones clear
#define GLITCH_VALUE 0x41736166u // (LPPGDR) without power this is lost, and PGD becomes set
enum { TICKS_SHIFT = 15, SECONDS_BITS = 32 };
// SRTC_ENV passes into the clock domain of 32,768 Hz within three of its periods, 92 us; a read of
// this section takes more than 10 ns.
enum { POLLS_MAX = 100000 };
// Of two reads in a row, the second is right when it is a little later than the first, here 10 ms
// at most. Equal they need not be: an i.MX 6ULL takes longer for one than the period of 31 us.
enum { READS_MAX = 100, APART_MAX = 320 };

static int enable(const struct imx_snvs_rtc *rtc, uint32_t wanted) {
    ek_write32(rtc->base + LPCR, (ek_read32(rtc->base + LPCR) & ~(uint32_t)SRTC_ENV) | wanted);
    for (unsigned i = 0; i < POLLS_MAX; i++) {
        if ((ek_read32(rtc->base + LPCR) & SRTC_ENV) == wanted) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

// Where the battery was empty, a counter that runs says nothing: it is stopped until it is set.
static int init(const void *dev) {
    const struct imx_snvs_rtc *rtc = dev;
    bool lost = ek_read32(rtc->base + LPPGDR) != GLITCH_VALUE;
    if (!lost) {
        return EK_OK;
    }
    ek_write32(rtc->base + LPPGDR, GLITCH_VALUE);
    ek_write32(rtc->base + LPSR, POWER_GLITCH);
    return enable(rtc, 0);
}

static uint64_t read_counter(const struct imx_snvs_rtc *rtc) {
    uint64_t high = ek_read32(rtc->base + LPSRTCMR);
    return high << 32 | ek_read32(rtc->base + LPSRTCLR);
}

static int get(const void *dev, int64_t *unix_s) {
    const struct imx_snvs_rtc *rtc = dev;
    if (!(ek_read32(rtc->base + LPCR) & SRTC_ENV)) {
        return EK_ERANGE;
    }
    uint64_t last = read_counter(rtc);
    for (unsigned i = 0; i < READS_MAX; i++) {
        uint64_t now = read_counter(rtc);
        if (now - last <= APART_MAX) { // not so either when it is before
            *unix_s = (int64_t)(now >> TICKS_SHIFT);
            return EK_OK;
        }
        last = now;
    }
    return EK_ETIMEDOUT;
}

static int set(const void *dev, int64_t unix_s) {
    const struct imx_snvs_rtc *rtc = dev;
    if (unix_s < 0 || unix_s >> SECONDS_BITS != 0) {
        return EK_ERANGE;
    }
    int status = enable(rtc, 0); // written only while it stands still
    if (status < 0) {
        return status;
    }
    uint64_t ticks = (uint64_t)unix_s << TICKS_SHIFT;
    ek_write32(rtc->base + LPSRTCLR, (uint32_t)ticks);
    ek_write32(rtc->base + LPSRTCMR, (uint32_t)(ticks >> 32));
    return enable(rtc, SRTC_ENV);
}

const struct ek_rtc_ops imx_snvs_rtc_ops = {.init = init, .get = get, .set = set};
