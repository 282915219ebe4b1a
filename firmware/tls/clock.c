// clock.c: the time of day for validity periods. A device that does not know it (no clock chip, no
// answer of a time server) goes by a lower bound: it cannot be earlier than when its image was
// built, or when its own certificate became valid. Nor does one whose clock is behind that. The
// bound is kept as one of the time of boot: of what comes later the time since boot is taken off.
#include "ek/clock.h"
#include <string.h>
#include "internal.h"
#include "mbedtls/platform_time.h"
#include "mbedtls/platform_util.h"

static int64_t certificates_s; // when it booted, by the newest

void tls_clock_floor(int64_t unix_s) {
    unix_s -= (int64_t)(ek_clock_us() / 1000000);
    certificates_s = unix_s > certificates_s ? unix_s : certificates_s;
}

static bool told(int64_t *now_s) {
    int64_t boot_ms = 0, since_s = (int64_t)(ek_clock_us() / 1000000);
    int64_t floor_s = certificates_s > tls_built_s ? certificates_s : tls_built_s;
    bool known = ek_clock_boot_unix_ms(&boot_ms);
    known = known && boot_ms >= floor_s * 1000;
    *now_s = since_s + (known ? (int64_t)((uint64_t)boot_ms / 1000) : floor_s);
    return known;
}

bool tls_clock_known(void) {
    int64_t now_s;
    return told(&now_s);
}

const char *tls_clock_source(void) {
    const char *bound = certificates_s > tls_built_s ? "certificates" : "build time";
    return tls_clock_known() ? ek_clock_source() : bound;
}

int64_t tls_time(int64_t *seconds) {
    int64_t now_s;
    (void)told(&now_s);
    if (seconds) {
        *seconds = now_s;
    }
    return now_s;
}

mbedtls_ms_time_t mbedtls_ms_time(void) { return (mbedtls_ms_time_t)(ek_clock_us() / 1000); }

// Proleptic Gregorian calendar, with years that begin in March; until 2106.
struct tm *mbedtls_platform_gmtime_r(const mbedtls_time_t *time, struct tm *out) {
    uint32_t days = (uint32_t)((uint64_t)*time / 86400),
             second = (uint32_t)((uint64_t)*time % 86400);
    uint32_t z = days + 719468, era = z / 146097, of_era = z % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t day = of_era - (365 * year + year / 4 - year / 100), month = (5 * day + 2) / 153;
    memset(out, 0, sizeof *out);
    out->tm_sec = (int)(second % 60);
    out->tm_min = (int)(second / 60 % 60);
    out->tm_hour = (int)(second / 3600);
    out->tm_mday = (int)(day - (153 * month + 2) / 5 + 1);
    out->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    out->tm_year = (int)(year + era * 400 + (month >= 10)) - 1900;
    return out;
}
