// pl031.c: Arm PrimeCell real-time clock PL031: a counter of seconds, which most systems begin at
// 1970.
// Document: Arm DDI 0224 (PL031 TRM), 3.3; names in parentheses are its registers. Offsets, START
// and the part number were checked against Linux' rtc-pl031.c; not checked: when LR is taken over.
// Left out: the alarm.
#include "pl031.h"
#include "ek/mmio.h"

enum { DR = 0x00, LR = 0x08, CR = 0x0c, PERIPH_ID0 = 0xfe0, PERIPH_ID1 = 0xfe4 };
enum { START = 1u << 0 };                  // (RTCCR) once set, only a reset clears it
enum { PART_LOW = 0x31, PART_HIGH = 0x0 }; // (RTCPeriphID0, RTCPeriphID1)

static int init(const void *dev) {
    const struct pl031 *rtc = dev;
    if ((ek_read32(rtc->base + PERIPH_ID0) & 0xff) != PART_LOW ||
        (ek_read32(rtc->base + PERIPH_ID1) & 0x0f) != PART_HIGH) {
        return EK_ENOENT;
    }
    if (!(ek_read32(rtc->base + CR) & START)) {
        ek_write32(rtc->base + CR, START);
    }
    return EK_OK;
}

static int get(const void *dev, int64_t *unix_s) {
    const struct pl031 *rtc = dev;
    *unix_s = ek_read32(rtc->base + DR);
    return *unix_s != 0 ? EK_OK : EK_ERANGE; // where it begins without power
}

static int set(const void *dev, int64_t unix_s) {
    const struct pl031 *rtc = dev;
    if (unix_s < 0 || unix_s > UINT32_MAX) {
        return EK_ERANGE;
    }
    ek_write32(rtc->base + LR, (uint32_t)unix_s); // taken over with its next second
    return EK_OK;
}

const struct ek_rtc_ops pl031_ops = {.init = init, .get = get, .set = set};
