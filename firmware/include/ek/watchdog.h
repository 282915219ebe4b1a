// ek/watchdog.h: what every watchdog driver provides. Class `watchdog`; the kernel arms the one in
// the board's role `watchdog` before anything that may hang, and feeds it from the event loop.
#ifndef EK_WATCHDOG_H
#define EK_WATCHDOG_H
#include <stdint.h>
#include "ek/status.h"

struct ek_watchdog_ops {
    // Whether the last reset was this watchdog's: 1, 0, or EK_ENOENT if the device cannot tell.
    // Called once, before start(); forgets it. NULL: it can never tell.
    int (*expired)(const void *dev);
    // From now on reset the board `timeout_ms` after the last feed() at the latest. A device that
    // warns by an interrupt does so half-way. Again: another timeout. EK_OK, EK_EINVAL (it cannot
    // count that far).
    int (*start)(const void *dev, uint32_t timeout_ms);
    // Begin the time anew, and take back a warning.
    void (*feed)(const void *dev);
};

struct ek_watchdog {
    const struct ek_watchdog_ops *ops;
    const void *dev;
};

// The device in the board's role `watchdog`; ops NULL where the board has none.
extern const struct ek_watchdog ek_role_watchdog;
#endif
