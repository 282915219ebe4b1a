// ek/power.h: how the machine is reset, and how an emulator is told a result.
#ifndef EK_POWER_H
#define EK_POWER_H
#include "ek/status.h"

struct ek_power_ops {
    // End the emulator with `code` (0 to 127) as, or encoded in, its exit status; on hardware,
    // without such a way, returns.
    void (*exit)(const void *dev, int code);
    // Reset the whole machine; returns only if that is impossible.
    void (*reset)(const void *dev);
};

struct ek_power {
    const struct ek_power_ops *ops;
    const void *dev;
};
#endif
