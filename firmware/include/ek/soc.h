// ek/soc.h: what a chip brings besides its processor core: clocks, pins, and a timer that ends the
// processor's sleep. Class `soc`; the architectures that need one (armv7m, aarch64) call it, nobody
// else.
#ifndef EK_SOC_H
#define EK_SOC_H
#include <stdint.h>
#include "ek/status.h"

struct ek_soc_ops {
    // Bring the processor to its clock frequency, give clocks and pins to the devices in use. Runs
    // before everything else, console included. EK_OK, EK_EINVAL (frequency out of reach),
    // EK_ETIMEDOUT (no stable clock).
    int (*init)(const void *dev);
    // Raise the chip's wake-up interrupt once, `us` (1 to 1000000) from now; takes back the last.
    void (*wake_in)(const void *dev, uint32_t us);
    // What a chip cannot wait with: the first thing after a reset, before there are variables, so
    // that it must use none. NULL: nothing. The rest is init()'s.
    void (*at_reset)(const void *dev);
    // Microseconds since init(), monotonic, 64 bits; for the architectures without a clock of their
    // own (armv6m), else NULL.
    uint64_t (*clock_us)(const void *dev);
};

struct ek_soc {
    const struct ek_soc_ops *ops;
    const void *dev;
};

// The device in the board's role `soc`, defined by the generated devices.c.
extern const struct ek_soc ek_role_soc;
#endif
