// kinetis_rtc.c: the real-time clock of Kinetis chips: a counter of seconds that runs on a 32.768
// kHz crystal as long as VBAT is there.
// Document: NXP K64P144M120SF5RM, chapter RTC; names in parentheses are its registers. Offsets and
// bits were checked against NXP's MK64F12.h, reading twice, the order of writes and what clears TIF
// and TOF against the same chapter in the manuals of K20 and K22.
// Left out: alarm, compensation, tamper time, access control. Left to the board's soc driver: the
// clock gate.
#include "kinetis_rtc.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { TSR = 0x00, TPR = 0x04, CR = 0x10, SR = 0x14, IER = 0x1c };
enum { CR_OSCE = 1u << 8, CR_SC16P = 1u << 10, CR_SC2P = 1u << 13 };
enum { SR_TIF = 1u << 0, SR_TOF = 1u << 1, SR_TCE = 1u << 4 };
enum { READS_MAX = 8 };

// The oscillator takes up to a second to start, for which the manual wants to wait before TCE is
// set. A time that is set before counts from then on, so it may be that late until it is set again:
// better than to hold up the boot.
static int init(const void *dev) {
    const struct kinetis_rtc *rtc = dev;
    ek_assert(rtc->base != 0);
    ek_write32(rtc->base + IER, 0);
    uint32_t control = ek_read32(rtc->base + CR);
    if (!(control & CR_OSCE)) {
        for (unsigned i = 0; i < 4; i++) { // SC16P is the lowest bit, SC2P the highest
            control &= ~(uint32_t)(CR_SC16P << i);
            control |= rtc->load_pf & 16u >> i ? (uint32_t)CR_SC16P << i : 0;
        }
        ek_write32(rtc->base + CR, control | CR_OSCE);
    }
    return EK_OK;
}

// It may change while it is read: "the same value twice" is the time (TSR).
static int get(const void *dev, int64_t *unix_s) {
    const struct kinetis_rtc *rtc = dev;
    uint32_t status = ek_read32(rtc->base + SR);
    if (status & (SR_TIF | SR_TOF) || !(status & SR_TCE)) {
        return EK_ERANGE; // VBAT was lost, or nobody ever set it
    }
    uint32_t last = ek_read32(rtc->base + TSR);
    for (int reads = 0; reads < READS_MAX; reads++) {
        uint32_t now = ek_read32(rtc->base + TSR);
        if (now == last) {
            *unix_s = now;
            return EK_OK;
        }
        last = now;
    }
    return EK_ETIMEDOUT;
}

// Time changes only while the counter stands; writing it also takes back TIF and TOF.
static int set(const void *dev, int64_t unix_s) {
    const struct kinetis_rtc *rtc = dev;
    if (unix_s < 1 || unix_s > UINT32_MAX) { // 0 would count as invalid (TSR)
        return EK_ERANGE;
    }
    ek_write32(rtc->base + SR, 0);
    ek_write32(rtc->base + TPR, 0); // before the seconds
    ek_write32(rtc->base + TSR, (uint32_t)unix_s);
    ek_write32(rtc->base + SR, SR_TCE);
    return EK_OK;
}

const struct ek_rtc_ops kinetis_rtc_ops = {.init = init, .get = get, .set = set};
