// ek/rtc.h: what every driver of a real-time clock provides: the time of day across a reset or a
// power cut. The kernel reads the one in the role `rtc` at boot and sets it when SNTP knows better.
#ifndef EK_RTC_H
#define EK_RTC_H
#include <stdint.h>
#include "ek/status.h"

struct ek_rtc_ops {
    // Start the device; its time is kept. EK_OK, EK_ENOENT (no such device there), EK_EIO.
    int (*init)(const void *dev);
    // Seconds since 1970-01-01T00:00Z in *unix_s. EK_OK; EK_ERANGE: it has lost its time (battery
    // empty, never set), or holds what is no time; EK_EAGAIN: not in this moment, but in 3 ms;
    // EK_ETIMEDOUT.
    int (*get)(const void *dev, int64_t *unix_s);
    // EK_OK; EK_ERANGE: beyond what the device can count; EK_ETIMEDOUT, EK_EIO.
    int (*set)(const void *dev, int64_t unix_s);
};

struct ek_rtc {
    const struct ek_rtc_ops *ops;
    const void *dev;
};

// The device in the board's role `rtc`; ops NULL where the board has none.
extern const struct ek_rtc ek_role_rtc;
#endif
