// test_kernel_rtc.c: what test_kernel_rtc.py drives: kernel/rtc.c and kernel/clock.c between a
// clock chip and a time since boot of the test.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/arch.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/rtc.h"
#include "ek/timer.h"
#include "kernel/internal.h"

static uint64_t now_us;
static int init_status, get_status, busy;
static long long chip_s;
static struct ek_timer *armed;

uint64_t arch_clock_us(void) { return now_us; }
void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    timer->due_us = now_us + delay_us;
    timer->fn = fn;
    timer->arg = arg;
    armed = timer;
}

static int init(const void *dev) {
    (void)dev;
    return init_status;
}
static int get(const void *dev, int64_t *unix_s) {
    (void)dev;
    puts("get");
    if (busy > 0) {
        busy--;
        return EK_EAGAIN;
    }
    *unix_s = chip_s;
    return get_status;
}
static int set(const void *dev, int64_t unix_s) {
    (void)dev;
    printf("set %lld\n", (long long)unix_s);
    chip_s = unix_s;
    return EK_OK;
}
static const struct ek_rtc_ops ops = {.init = init, .get = get, .set = set};
const struct ek_rtc ek_role_rtc = {&ops, NULL};

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        long long value = strchr(argv[i], '=') ? atoll(strchr(argv[i], '=') + 1) : 0;
        if (!strcmp(argv[i], "start")) {
            rtc_start();
        } else if (!strncmp(argv[i], "sntp_ms=", 8)) {
            ek_clock_set_unix_ms(value, "sntp");
        } else if (!strncmp(argv[i], "chip=", 5)) {
            chip_s = value;
        } else if (!strncmp(argv[i], "init=", 5)) {
            init_status = (int)value;
        } else if (!strncmp(argv[i], "get=", 4)) {
            get_status = (int)value;
        } else if (!strncmp(argv[i], "busy=", 5)) {
            busy = (int)value;
        } else if (!strncmp(argv[i], "wait_ms=", 8)) {
            now_us += (uint64_t)value * 1000;
            while (armed && armed->due_us <= now_us) {
                struct ek_timer *timer = armed;
                armed = NULL;
                timer->fn(timer->arg);
            }
        } else if (!strcmp(argv[i], "time")) {
            int64_t boot_ms;
            bool known = ek_clock_boot_unix_ms(&boot_ms);
            printf("time %lld\n", known ? (long long)(boot_ms + (int64_t)(now_us / 1000)) : -1);
        } else {
            return 2;
        }
    }
    return 0;
}
