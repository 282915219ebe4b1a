// mc146818.c: the real-time clock of PCs: a calendar behind two ports, in UTC.
// Document: Motorola MC146818A datasheet; names in parentheses are its registers.
// Left out: alarms, periodic interrupts; a clock that holds local time.
// A read never waits: where the clock counts on between two looks at it, or is about to (UIP), it
// is looked at again, for at most the 2 ms that an update takes.
#include "mc146818.h"
#include <stdbool.h>
#include "ek/pio.h"

enum { REGISTER_A = 0x0a, REGISTER_B = 0x0b, REGISTER_D = 0x0d };
enum { A_UPDATING = 1u << 7 };                                      // (A, UIP)
enum { B_SET = 1u << 7, B_BINARY = 1u << 2, B_24_HOURS = 1u << 1 }; // (B: SET, DM, 24/12)
enum { D_VALID = 1u << 7 };                                         // (D, VRT) battery
enum { PM = 1u << 7 };                                              // (hours, of 12)
enum { DAY_S = 86400 };

// In the order in which a calendar is read and written; the century's register comes last.
enum { SECOND, MINUTE, HOUR, DAY, MONTH, YEAR, CENTURY, FIELDS };
static const uint8_t registers[CENTURY] = {0x00, 0x02, 0x04, 0x07, 0x08, 0x09};
static const uint8_t least[FIELDS] = {0, 0, 0, 1, 1, 0, 19};
static const uint8_t most[FIELDS] = {59, 59, 23, 31, 12, 99, 21};

// Bit 7 of the index masks NMI on PCs, where nothing uses it; 0 leaves it open.
static uint8_t read_reg(const struct mc146818 *rtc, uint8_t reg) {
    ek_out8(rtc->port, reg);
    return ek_in8((uint16_t)(rtc->port + 1));
}

static void write_reg(const struct mc146818 *rtc, uint8_t reg, uint8_t value) {
    ek_out8(rtc->port, reg);
    ek_out8((uint16_t)(rtc->port + 1), value);
}

static uint8_t place(const struct mc146818 *rtc, unsigned field) {
    return field == CENTURY ? rtc->century : registers[field];
}

// Days from 1970-01-01 to the first of a month, 0 to 11, of the Gregorian calendar: in years that
// begin with March, so that the leap day is their last.
static int32_t days_from(int32_t year, int32_t month) {
    year -= month < 2;
    month = (month + 10) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 719468;
}

static int init(const void *dev) {
    const struct mc146818 *rtc = dev;
    uint8_t b = read_reg(rtc, REGISTER_B);
    if (b == 0xff && read_reg(rtc, REGISTER_A) == 0xff) {
        return EK_ENOENT; // nothing answers there
    }
    if (b & B_SET) { // somebody was interrupted while setting it
        write_reg(rtc, REGISTER_B, b & ~(unsigned)B_SET);
    }
    return EK_OK;
}

static int decode(const uint8_t raw[FIELDS], uint8_t b, int64_t *unix_s) {
    uint8_t v[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++) {
        unsigned value = i == HOUR && !(b & B_24_HOURS) ? raw[i] & ~(unsigned)PM : raw[i];
        v[i] = (uint8_t)(b & B_BINARY ? value : value / 16 * 10 + value % 16);
        if (i == HOUR && !(b & B_24_HOURS)) { // 12, 1, ..., 11
            v[i] = (uint8_t)(v[i] % 12 + (raw[i] & PM ? 12 : 0));
        }
        bool good = v[i] >= least[i] && v[i] <= most[i];
        if (!good && i != CENTURY) {
            return EK_ERANGE;
        }
        v[i] = good ? v[i] : 20; // many have no such register
    }
    int32_t days = days_from(v[CENTURY] * 100 + v[YEAR], v[MONTH] - 1) + v[DAY] - 1;
    *unix_s = (int64_t)days * DAY_S + v[HOUR] * 3600 + v[MINUTE] * 60 + v[SECOND];
    return EK_OK;
}

static int get(const void *dev, int64_t *unix_s) {
    const struct mc146818 *rtc = dev;
    uint8_t raw[FIELDS];
    if (!(read_reg(rtc, REGISTER_D) & D_VALID)) {
        return EK_ERANGE;
    }
    if (read_reg(rtc, REGISTER_A) & A_UPDATING) {
        return EK_EAGAIN;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        raw[i] = read_reg(rtc, place(rtc, i));
    }
    // An update is announced 244 us before: it has begun meanwhile, or ended if we were held up.
    if (read_reg(rtc, REGISTER_A) & A_UPDATING || read_reg(rtc, registers[SECOND]) != raw[SECOND]) {
        return EK_EAGAIN;
    }
    return decode(raw, read_reg(rtc, REGISTER_B), unix_s);
}

static int set(const void *dev, int64_t unix_s) {
    const struct mc146818 *rtc = dev;
    if (unix_s < 0 || unix_s / DAY_S >= days_from(2200, 0)) {
        return EK_ERANGE;
    }
    int32_t days = (int32_t)(unix_s / DAY_S), months = 0; // since 1970
    unsigned second = (unsigned)(unix_s % DAY_S);
    while (days_from(1970 + (months + 1) / 12, (months + 1) % 12) <= days) {
        months++;
    }
    unsigned year = 1970 + (unsigned)months / 12, day = (unsigned)days + 1;
    day -= (unsigned)days_from(1970 + months / 12, months % 12);
    const unsigned v[FIELDS] = {[SECOND] = second % 60,
                                [MINUTE] = second / 60 % 60,
                                [HOUR] = second / 3600,
                                [DAY] = day,
                                [MONTH] = (unsigned)months % 12 + 1,
                                [YEAR] = year % 100,
                                [CENTURY] = year / 100};
    uint8_t b = read_reg(rtc, REGISTER_B);
    write_reg(rtc, REGISTER_B, b | B_SET); // no update while half of it is new
    for (unsigned i = 0; i < FIELDS; i++) {
        bool half = i == HOUR && !(b & B_24_HOURS);
        unsigned value = half ? (v[i] + 11u) % 12 + 1 : v[i];
        value = b & B_BINARY ? value : value / 10 * 16 + value % 10;
        write_reg(rtc, place(rtc, i), (uint8_t)(value | (half && v[i] >= 12 ? PM : 0)));
    }
    write_reg(rtc, REGISTER_B, b);
    return EK_OK;
}

const struct ek_rtc_ops mc146818_ops = {.init = init, .get = get, .set = set};
