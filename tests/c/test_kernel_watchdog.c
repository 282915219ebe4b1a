// test_kernel_watchdog.c: what test_kernel_watchdog.py drives: kernel/watchdog.c between a watchdog
// and a clock of the test. A boot is a call of watchdog_start(): its record survives as memory
// does.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/watchdog.h"
#include "kernel/crash.c" // whose record is damaged
#include "kernel/internal.h"
#include "kernel/kernel.h"

static uint64_t now_us;
static int cause, start_status;

uint64_t ek_clock_us(void) { return now_us; }
void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static int expired(const void *dev) {
    (void)dev;
    return cause;
}
static int start(const void *dev, uint32_t timeout_ms) {
    (void)dev;
    printf("start %u\n", (unsigned)timeout_ms);
    return start_status;
}
static void feed(const void *dev) {
    (void)dev;
    puts("feed");
}
static const struct ek_watchdog_ops ops = {.expired = expired, .start = start, .feed = feed};
static const struct ek_watchdog_ops mute = {.start = start, .feed = feed};
#ifdef MUTE
const struct ek_watchdog ek_role_watchdog = {&mute, NULL};
#elif !defined NONE
const struct ek_watchdog ek_role_watchdog = {&ops, NULL};
#endif

const char ek_board_name[] = "test";
const char ek_build_id[] = "0123456789abcdef";
const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = 0;
    return NULL;
}

// Memory behind the caches: it has what was cleaned, and is all that a reset leaves.
static uint8_t record_behind[sizeof record], text_behind[sizeof text];

void ek_dma_clean(const void *addr, size_t len) {
    if (addr == text) {
        memcpy(text_behind, addr, len);
    } else if (addr == (const void *)&record) {
        memcpy(record_behind, addr, len);
    } else {
        abort();
    }
}

static void lose_caches(void) {
    memcpy((void *)&record, record_behind, sizeof record);
    memcpy(text, text_behind, sizeof text);
}

__attribute__((format(printf, 1, 2))) static void panic(const char *format, ...) {
    static const uintptr_t pcs[] = {0x1234, 0x2000, 3};
    va_list args;
    va_start(args, format);
    crash_panic(format, args, pcs, 3);
    va_end(args);
}

// One bit of what was kept: of the text, and of the place that ran last.
static void damage(void) {
    text[8] ^= 1;
    record.inverted ^= 1;
}

int main(int argc, char **argv) {
    (void)ops, (void)mute;
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : "";
        if (!strcmp(argv[i], "boot")) {
            watchdog_start();
            watchdog_report();
        } else if (!strncmp(argv[i], "runs=", 5)) {
            watchdog_runs((uintptr_t)strtoul(value, NULL, 0));
        } else if (!strncmp(argv[i], "wait_ms=", 8)) {
            now_us += strtoul(value, NULL, 0) * 1000;
        } else if (!strncmp(argv[i], "cause=", 6)) {
            cause = atoi(value);
        } else if (!strncmp(argv[i], "start_status=", 13)) {
            start_status = atoi(value);
        } else if (!strcmp(argv[i], "feed")) {
            watchdog_feed();
        } else if (!strncmp(argv[i], "build=", 6)) { // it was another image
            memcpy((void *)record.build, value, sizeof record.build);
            keep();
        } else if (!strncmp(argv[i], "panic", 5)) {
            panic(value[0] ? "%s %d" : "%s%d", value, 7);
            watchdog_panic();
        } else if (!strcmp(argv[i], "ended")) {
            crash_ended();
        } else if (!strcmp(argv[i], "reset")) {
            lose_caches();
        } else if (!strcmp(argv[i], "damage")) {
            damage();
        } else if (!strcmp(argv[i], "report")) {
            printf("report %s\n", kernel_boot_report());
        } else {
            return 2;
        }
    }
    return 0;
}
