// script.c: the Modbus client between a fake stream and a fake clock, driven by lines on standard
// input; what it does comes out as lines on standard output. tables.h: generated C, and `polls`.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/random.h"
#include "ek/stream.h"
#include "ek/timer.h"
#include "modbus_tcp.h"
#include "tables.h"

static uint64_t now_us;
static struct ek_timer *timers;
static struct ek_stream *streams[8]; // open ones; their number is their name
static char config[512];             // the one key that tests use

uint64_t ek_clock_us(void) { return now_us; }
uint32_t ek_random32(void) { return 0; }
void ek_assert_fail(const char *file, int line) {
    printf("assert %s:%d\n", file, line);
    exit(1);
}
const char *ek_status_name(int status) {
    static char name[8];
    snprintf(name, sizeof name, "%d", status);
    return name;
}
void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("log ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}
const char *ek_device_config(const char *key, const char *fallback) {
    size_t len = strlen(key);
    return strncmp(config, key, len) == 0 && config[len] == '=' ? config + len + 1 : fallback;
}
void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status) {
    printf("report %u %" PRId64 " %d\n", channel, status == EK_OK ? value : 0, status);
    if (quality != 0) {
        printf("quality %u\n", quality);
    }
}

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **t = &timers; *t; t = &(*t)->next) {
        if (*t == timer) {
            *t = timer->next;
            return;
        }
    }
}
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer = (struct ek_timer){.next = timers, .due_us = now_us + delay_us, .fn = fn, .arg = arg};
    timers = timer;
}
static void run_until(uint64_t end_us) {
    for (;;) {
        struct ek_timer *first = timers;
        for (struct ek_timer *t = timers; t; t = t->next) {
            first = t->due_us < first->due_us ? t : first;
        }
        if (!first || first->due_us > end_us) {
            break;
        }
        now_us = first->due_us;
        ek_timer_stop(first);
        first->fn(first->arg);
    }
    now_us = end_us;
}

static int number_of(const struct ek_stream *stream) {
    for (int i = 0; i < 8; i++) {
        if (streams[i] == stream) {
            return i;
        }
    }
    return -1;
}
int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    ek_assert(number_of(stream) < 0);
    int i = number_of(NULL);
    streams[i] = stream;
    stream->events = events;
    stream->arg = arg;
    printf("open %d %s %u\n", i, host, port);
    return EK_OK;
}
int ek_stream_write(struct ek_stream *stream, const void *data, size_t len) {
    ek_assert(number_of(stream) >= 0);
    printf("write %d ", number_of(stream));
    for (size_t i = 0; i < len; i++) {
        printf("%02x", ((const uint8_t *)data)[i]);
    }
    printf("\n");
    return (int)len;
}
void ek_stream_close(struct ek_stream *stream) {
    if (number_of(stream) >= 0) {
        printf("close %d\n", number_of(stream));
        streams[number_of(stream)] = NULL;
    }
}

static size_t unhex(const char *text, uint8_t *out) {
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(text + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

static void line(char *text) {
    static char hex[4096];
    int n = 0, status = 0;
    unsigned type = 0, order = 0, offset = 0, den = 0;
    if (sscanf(text, "poll %d", &n) == 1) {
        modbus_tcp_ops.poll(polls[n]);
    } else if (sscanf(text, "advance %d", &n) == 1) {
        run_until(now_us + (uint64_t)n * 1000);
    } else if (sscanf(text, "opened %d", &n) == 1) {
        streams[n]->events->opened(streams[n]->arg);
    } else if (sscanf(text, "closed %d %d", &n, &status) == 2) {
        struct ek_stream *stream = streams[n];
        streams[n] = NULL;
        stream->events->closed(stream->arg, status);
    } else if (sscanf(text, "received %d %4000s", &n, hex) == 2) {
        uint8_t *data = malloc(strlen(hex) / 2 + 1); // so that the sanitizer sees its end
        size_t len = unhex(hex, data);
        if (streams[n]) {
            streams[n]->events->received(streams[n]->arg, data, len);
        }
        free(data);
    } else if (sscanf(text, "config %500s", config) == 1) {
    } else if (sscanf(text, "convert %u %u %u %d %u %4000s", &type, &order, &offset, &n, &den,
                      hex) == 6) {
        struct modbus_tcp_point point = {.num = n,
                                         .den = den,
                                         .offset = (uint16_t)offset,
                                         .type = (uint8_t)type,
                                         .order = (uint8_t)order};
        uint8_t *data = malloc(strlen(hex) / 2);
        unhex(hex, data);
        int64_t value = 0;
        status = modbus_tcp_convert(&point, data, &value);
        printf("%d %" PRId64 "\n", status, status == EK_OK ? value : 0);
        free(data);
    } else {
        printf("what? %s", text);
    }
}

int main(void) {
    static char text[8192];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(text, sizeof text, stdin)) {
        line(text);
        printf(".\n"); // done
    }
    return 0;
}
