// rtc.c: the time of day from the board's real-time clock until SNTP knows better, and from SNTP
// back into that clock (ek/rtc.h).
#include "ek/rtc.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/timer.h"
#include "kernel/internal.h"

// A clock that tells another year was never set, or has lost its time: this was written in 2026.
#define PLAUSIBLE_FROM_S INT64_C(1767225600)  // 2026-01-01
#define PLAUSIBLE_UNTIL_S INT64_C(4102444800) // 2100-01-01
enum { AGAIN_US = 3000, TRIES_MAX = 10 };     // a clock chip's update takes 2 ms of each second
enum { TOLERANCE_MS = 2000 };                 // it counts in whole seconds

// Boards without one; the generated devices.c has those that are there.
__attribute__((weak)) const struct ek_rtc ek_role_rtc = {NULL, NULL};

static const char RTC_SOURCE[] = "rtc"; // known by its address

static struct ek_timer timer;
static unsigned tries;
static bool present;
static bool reading; // at boot, until somebody else has told the time

static void compare(int status, int64_t rtc_s) {
    int64_t now_ms = 0;
    (void)ek_clock_boot_unix_ms(&now_ms);
    now_ms += (int64_t)(ek_clock_us() / 1000);
    int64_t ahead_ms = rtc_s * 1000 + 500 - now_ms;
    if (status == EK_OK && ahead_ms >= -TOLERANCE_MS && ahead_ms <= TOLERANCE_MS) {
        return;
    }
    status = ek_role_rtc.ops->set(ek_role_rtc.dev, (now_ms + 500) / 1000);
    ek_log("rtc: set: %s", ek_status_name(status));
}

static void turn(void *arg) {
    int64_t rtc_s = 0;
    int status = ek_role_rtc.ops->get(ek_role_rtc.dev, &rtc_s);
    if (status == EK_EAGAIN && ++tries < TRIES_MAX) {
        ek_timer_start(&timer, AGAIN_US, turn, arg);
        return;
    }
    tries = 0;
    if (!reading) {
        compare(status, rtc_s);
        return;
    }
    if (status == EK_OK && rtc_s >= PLAUSIBLE_FROM_S && rtc_s < PLAUSIBLE_UNTIL_S) {
        ek_clock_set_unix_ms(rtc_s * 1000 + 500, RTC_SOURCE); // some part of a second has passed
    } else {
        ek_log("rtc: no time: %s", ek_status_name(status == EK_OK ? EK_ERANGE : status));
    }
    reading = false;
}

void rtc_start(void) {
    if (!ek_role_rtc.ops) {
        return;
    }
    int status = ek_role_rtc.ops->init(ek_role_rtc.dev);
    present = reading = status == EK_OK;
    if (present) {
        turn(NULL);
    } else if (status != EK_ENOENT) {
        ek_log("rtc: %s", ek_status_name(status));
    }
}

void rtc_learn(const char *source) {
    if (present && source != RTC_SOURCE) {
        reading = false;
        turn(NULL);
    }
}
