// watchdog.c: arms the board's watchdog, feeds it once per round of the event loop, and remembers
// over the reset what ran last, so that the next boot can say it (ek/watchdog.h).
// Left out: a record of panics other than by the watchdog; a report over MQTT.
#include <stddef.h>
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/watchdog.h"
#include "kernel/internal.h"

// Far above the longest that anything may hold the loop: 0.3 s, a reset of a network chip that does
// not answer. Emulators that share a busy machine stand still for seconds.
enum { TIMEOUT_MS = 8000 };

// What the record says of the last boot: nothing (power was off, or it ended on purpose), that it
// was running, that the watchdog's warning ended it.
#define RUNNING 0x52554e21u
#define HUNG 0x48554e47u

// In memory that link.ld leaves alone; where the architecture's does not, nothing is remembered.
// Volatile, as only the next boot reads it.
static volatile struct {
    uint32_t state;
    uintptr_t where; // the function that the loop called last, 0 while it sleeps
} record __attribute__((section(".bss.noinit")));

static uint64_t fed_us;
static const char *reason; // of the last reset, for watchdog_report()
static uintptr_t last_where;

// Boards without a watchdog; the generated devices.c has those that are there.
__attribute__((weak)) const struct ek_watchdog ek_role_watchdog = {NULL, NULL};

void watchdog_start(void) {
    const struct ek_watchdog *watchdog = &ek_role_watchdog;
    if (!watchdog->ops) {
        return;
    }
    bool expired = watchdog->ops->expired && watchdog->ops->expired(watchdog->dev) == 1;
    if (expired || record.state == HUNG) {
        reason = "reset the board";
    } else if (record.state == RUNNING && record.where != 0) {
        reason = "the last boot ended without a word"; // by it, or by the reset button
    }
    last_where = record.state == RUNNING || record.state == HUNG ? record.where : 0;
    record.where = (uintptr_t)watchdog_start; // until the loop runs
    record.state = RUNNING;
    if (watchdog->ops->start(watchdog->dev, TIMEOUT_MS) < 0) {
        reason = "does not start";
    }
    fed_us = ek_clock_us();
}

void watchdog_report(void) {
    if (reason) {
        ek_log("watchdog: %s; last ran: %p", reason, (void *)last_where);
    }
}

void watchdog_feed(void) {
    if (ek_role_watchdog.ops) {
        ek_role_watchdog.ops->feed(ek_role_watchdog.dev);
        fed_us = ek_clock_us();
    }
}

void watchdog_runs(uintptr_t where) {
    if (ek_role_watchdog.ops) {
        record.where = where;
    }
}

void watchdog_panic(void) {
    if (!ek_role_watchdog.ops) {
        return;
    }
    if (ek_clock_us() - fed_us >= TIMEOUT_MS / 2 * 1000) {
        ek_log("watchdog: not fed for %u ms; running: %p", TIMEOUT_MS / 2, (void *)record.where);
        record.state = HUNG;
    } else {
        record.state = 0; // the panic said it
    }
    watchdog_feed(); // printing may take as long again
}

void watchdog_forget(void) { record.state = 0; }
