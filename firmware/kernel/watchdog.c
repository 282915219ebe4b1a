// watchdog.c: arms the board's watchdog, if it is there, and feeds it once per round of the event
// loop (ek/watchdog.h). What ran last is kept over the reset (crash.c).
#include <stddef.h>
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/watchdog.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

// Far above the longest that anything may hold the loop: 0.3 s, a reset of a network chip that does
// not answer. Emulators that share a busy machine stand still for seconds.
enum { TIMEOUT_MS = 8000 };

static uint64_t fed_us;
static bool armed, refused, by_watchdog;

// Boards without a watchdog; the generated devices.c has those that are there.
__attribute__((weak)) const struct ek_watchdog ek_role_watchdog = {NULL, NULL};

void watchdog_start(void) {
    const struct ek_watchdog *watchdog = &ek_role_watchdog;
    if (!watchdog->ops) {
        (void)crash_begin(false);
        return;
    }
    bool expired = watchdog->ops->expired && watchdog->ops->expired(watchdog->dev) == 1;
    by_watchdog = crash_begin(expired);
    int status = watchdog->ops->start(watchdog->dev, TIMEOUT_MS);
    armed = status == EK_OK;
    refused = !armed && status != EK_ENOENT; // a board that may have one may lack it
    fed_us = ek_clock_us();
    watchdog_runs((uintptr_t)watchdog_start); // until the loop runs
}

void watchdog_report(void) {
    if (by_watchdog) {
        ek_log("%s", kernel_boot_report());
    }
    if (refused) {
        ek_log("watchdog: does not start");
    }
}

void watchdog_feed(void) {
    if (armed) {
        ek_role_watchdog.ops->feed(ek_role_watchdog.dev);
        fed_us = ek_clock_us();
    }
}

void watchdog_runs(uintptr_t where) {
    if (armed) {
        crash_runs(where);
    }
}

void watchdog_panic(void) {
    if (armed && ek_clock_us() - fed_us >= TIMEOUT_MS / 2 * 1000) {
        ek_log("watchdog: not fed for %u ms; running: %p", TIMEOUT_MS / 2, (void *)crash_hung());
    }
    watchdog_feed(); // printing may take as long again
}
