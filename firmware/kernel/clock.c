// clock.c: time since boot comes from the arch; the time of day is an offset to it (ek/clock.h).
#include "arch/arch.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "kernel/internal.h"

static int64_t boot_unix_ms;
static bool known;
static const char *learned_from = "";

uint64_t ek_clock_us(void) { return arch_clock_us(); }

bool ek_clock_boot_unix_ms(int64_t *out) {
    *out = boot_unix_ms;
    return known;
}

const char *ek_clock_source(void) { return learned_from; }

void ek_clock_set_unix_ms(int64_t unix_ms, const char *source) {
    int64_t boot_ms = unix_ms - (int64_t)(ek_clock_us() / 1000);
    int64_t step_ms = boot_ms - boot_unix_ms;
    if (!known || step_ms > 1000 || step_ms < -1000) {
        ek_log("clock: %lu s since 1970, from %s", (unsigned long)((uint64_t)unix_ms / 1000),
               source);
    }
    boot_unix_ms = boot_ms;
    known = true;
    learned_from = source;
    rtc_learn(source);
}
