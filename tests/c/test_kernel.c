// test_kernel.c: what test_kernel.py drives, one command per run: the kernel's files on the host,
// in front of a clock that the test moves.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/arch.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/panic.h"
#include "ek/random.h"
#include "ek/timer.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

static uint64_t now_us;
static bool has_entropy_device, entropy_is_stuck;

// The arch and the board.
uint64_t arch_clock_us(void) { return now_us; }
void arch_init(void) {}
void arch_reset(void) { exit(77); }
size_t arch_backtrace(uintptr_t *pcs, size_t max) {
    (void)max;
    pcs[0] = 0x1234;
    return 1;
}
const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = 0;
    return NULL;
}
void ek_dma_clean(const void *addr, size_t len) {
    (void)addr;
    (void)len;
}
size_t arch_random(uint8_t *data, size_t len) {
    (void)data;
    (void)len;
    return 0;
}

static int console_init(const void *dev) {
    (void)dev;
    return EK_OK;
}
static int console_write(const void *dev, const uint8_t *data, size_t len) {
    (void)dev;
    fwrite(data, 1, len, stdout);
    fflush(stdout);
    return (int)len;
}
static void power_exit(const void *dev, int code) {
    (void)dev;
    exit(code);
}
static int entropy_init(const void *dev) {
    (void)dev;
    return has_entropy_device ? EK_OK : EK_ENOENT;
}
static int entropy_read(const void *dev, uint8_t *data, size_t len) {
    static uint8_t next = 0xa5;
    size_t count = len < 7 ? len : 7; // short reads must be put together
    (void)dev;
    for (size_t i = 0; i < count; i++) {
        data[i] = entropy_is_stuck ? 0xff : next++;
    }
    return (int)count;
}
static const struct ek_uart_ops console = {.init = console_init, .write = console_write};
static const struct ek_power_ops power = {.exit = power_exit};
static struct ek_entropy_ops entropy = {.name = "fake", .init = entropy_init, .read = entropy_read};
const struct ek_uart ek_role_console = {&console, NULL};
const struct ek_power ek_role_power = {&power, NULL};
const struct ek_entropy ek_role_entropy = {&entropy, NULL};
const char ek_board_name[] = "test", ek_build_id[] = "0";
char __stack_bottom[4], __stack_top[4];

// "SIZE TYPE FORMAT ARGUMENT" a line, fields separated by tabs; prints the result and the length.
static void format_lines(void) {
    char line[2000], out[400];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        size_t size = strtoul(strtok(line, "\t"), NULL, 10);
        const char *type = strtok(NULL, "\t"), *format = strtok(NULL, "\t");
        const char *text = strtok(NULL, "\t");
        text = text ? text : "";
        char *room = malloc(size > 0 ? size : 1); // of exactly that size: the sanitizer looks
        int len = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (strcmp(type, "s") == 0) {
            len = ek_format(room, size, format, text);
        } else if (strcmp(type, "int") == 0) {
            len = ek_format(room, size, format, (int)strtoll(text, NULL, 10));
        } else if (strcmp(type, "unsigned") == 0) {
            len = ek_format(room, size, format, (unsigned)strtoull(text, NULL, 10));
        } else if (strcmp(type, "long long") == 0) {
            len = ek_format(room, size, format, strtoll(text, NULL, 10));
        } else {
            len = ek_format(room, size, format, strtoull(text, NULL, 10));
        }
#pragma GCC diagnostic pop
        snprintf(out, sizeof out, "%s", size > 0 ? room : "");
        printf("%d\t%s\n", len, out);
        free(room);
    }
}

static struct ek_timer timers[4];
static void fire(void *arg) {
    printf("%s at %llu\n", (const char *)arg, (unsigned long long)now_us);
    if (strcmp(arg, "again") == 0 && now_us < 300) {
        ek_timer_start_at(&timers[0], now_us + 100, fire, arg);
    } else if (strcmp(arg, "late") == 0) {
        ek_timer_start_at(&timers[3], 0, fire, arg); // always late
    }
}
static void run_all(void) {
    while (timer_next_us() != UINT64_MAX) {
        now_us = timer_next_us();
        timer_run();
    }
}
static void timer_scenario(void) {
    ek_timer_start(&timers[0], 100, fire, "again");
    ek_timer_start(&timers[1], 250, fire, "moved");
    ek_timer_start(&timers[2], 50, fire, "stopped");
    ek_timer_start(&timers[3], 100, fire, "second");
    ek_timer_start(&timers[1], 150, fire, "moved");
    ek_timer_stop(&timers[2]);
    ek_timer_stop(&timers[2]);
    printf("next %llu\n", (unsigned long long)timer_next_us());
    run_all();
    ek_timer_start(&timers[3], 0, fire, "late");
    printf("round: %d\n", timer_run());
    ek_timer_start(&timers[0], UINT64_MAX, fire, "never");
}

static unsigned rounds;
static bool poll_twice(void *arg) {
    printf("%s\n", (const char *)arg);
    return rounds++ < 2;
}
void arch_idle(uint64_t deadline_us) {
    printf("idle until %llu\n", (unsigned long long)deadline_us);
    if (deadline_us == UINT64_MAX) {
        exit(0);
    }
    now_us = deadline_us;
}
static void loop_scenario(void) {
    static struct ek_poller first = {.poll = poll_twice, .arg = "first"};
    static struct ek_poller second = {.poll = poll_twice, .arg = "second"};
    ek_loop_add(&first);
    ek_loop_add(&second);
    now_us = 1000;
    ek_timer_start(&timers[0], 3000, fire, "timer");
    ek_loop_run();
}

static void chacha_vector(void) {
    uint32_t input[12];
    uint8_t key[48], out[64];
    for (unsigned i = 0; i < 48; i++) {
        scanf("%2hhx", &key[i]);
    }
    memcpy(input, key, sizeof input); // the host is little-endian, as the RFC
    chacha20_block(input, out);
    for (unsigned i = 0; i < 64; i++) {
        printf("%02x", out[i]);
    }
}

static void draw(const char *frame_us) {
    uint8_t data[100];
    random_init();
    if (frame_us) {
        ek_random_stir(strtoull(frame_us, NULL, 10));
    }
    ek_random(data, sizeof data);
    printf("%s\t%d\t", kernel_entropy_source(), ek_random_is_weak());
    for (unsigned i = 0; i < sizeof data; i++) {
        printf("%02x", data[i]);
    }
}

static void time_of_day(void) {
    int64_t boot_ms = 0;
    bool known = ek_clock_boot_unix_ms(&boot_ms);
    printf("%d\n", known);
    now_us = 5000000;
    ek_clock_set_unix_ms(1700000000123, "sntp");
    known = ek_clock_boot_unix_ms(&boot_ms);
    printf("%d %lld\n", known, (long long)boot_ms);
}

int main(int argc, char **argv) {
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "format") == 0) {
        format_lines();
    } else if (strcmp(command, "timers") == 0) {
        timer_scenario();
    } else if (strcmp(command, "loop") == 0) {
        loop_scenario();
    } else if (strcmp(command, "chacha") == 0) {
        chacha_vector();
    } else if (strcmp(command, "random") == 0) {
        has_entropy_device = argc > 2 && strcmp(argv[2], "none") != 0;
        entropy_is_stuck = argc > 2 && strcmp(argv[2], "stuck") == 0;
        entropy.weak = argc > 2 && strcmp(argv[2], "weak") == 0;
        draw(argc > 3 ? argv[3] : NULL);
    } else if (strcmp(command, "clock") == 0) {
        time_of_day();
    } else if (strcmp(command, "log") == 0) {
        now_us = 12345678;
        ek_log("%s", argv[2]);
    } else if (strcmp(command, "panic") == 0) {
        // The CRC computed by zlib; lengths, sequence number 1, no flags.
        static const uint8_t blob[] = "EKC2\x90\xec\x8a\xd6"
                                      "\x10\0\x10\0\1\0\0\0\0\0\0\0"
                                      "exit.on_panic=1";
        if (argc > 2) {
            device_config_use(blob, sizeof blob);
        }
        ek_panic("asked to, %d", 7);
    }
    return 0;
}
