// world.c: see world.h. What the firmware's interfaces forbid ends the program.
#include "world.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/random.h"
#include "ek/stream.h"
#include "ek/timer.h"
#include "tls.h"

enum { IN_BYTES = 1 << 17, FILE_BYTES = 8192, KINDS = 3, ROUNDS = 1000000 };
enum { INNER_OPENING = 1, INNER_OPEN = 2 };

struct world world;
static struct ek_stream outer;
static struct ek_stream *inner;
static struct ek_timer *timers;
static struct ek_poller *poller;
static uint8_t in[IN_BYTES];
static size_t in_at, in_len;
static int ended; // status of the end of the stream below, once all is read
static uint64_t random_state;
static const char *const kinds[KINDS] = {"tls.ca", "tls.cert", "tls.key"};
static struct {
    uint8_t *data; // exactly as large as the file, for the sanitizer
    size_t len;
} files[KINDS];

void world_load(const char *folder) {
    static const char *const names[KINDS] = {"ca", "cert", "key"};
    for (unsigned i = 0; i < KINDS; i++) {
        char path[512];
        static uint8_t buffer[FILE_BYTES];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        FILE *file = fopen(path, "rb");
        files[i].len = file ? fread(buffer, 1, sizeof buffer, file) : 0;
        files[i].data = malloc(files[i].len);
        if (file) {
            memcpy(files[i].data, buffer, files[i].len);
            fclose(file);
        }
    }
}

const uint8_t *ek_device_config_data(const char *key, size_t *len) {
    for (unsigned i = 0; i < KINDS; i++) {
        if (strcmp(key, kinds[i]) == 0 && files[i].len > 0) {
            *len = files[i].len;
            return files[i].data;
        }
    }
    return NULL;
}

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    abort();
}

void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(world.log, sizeof world.log, format, args);
    va_end(args);
    world.log_lines++;
}

int ek_format(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, size, format, args);
    va_end(args);
    return len;
}

// xorshift64*: the same row after each world_open().
void ek_random(void *data, size_t len) {
    for (uint8_t *out = data; len > 0; len--) {
        random_state ^= random_state >> 12;
        random_state ^= random_state << 25;
        random_state ^= random_state >> 27;
        *out++ = (uint8_t)((random_state * 0x2545f4914f6cdd1d) >> 56);
    }
}

bool ek_random_is_weak(void) { return world.weak; }
uint64_t ek_clock_us(void) { return world.now_us; }
const uint32_t tls_built_s = 0; // recorded handshakes are verified at their own time
const char *ek_clock_source(void) { return world.boot_unix_s ? "test" : ""; }

bool ek_clock_boot_unix_ms(int64_t *boot_unix_ms) {
    *boot_unix_ms = world.boot_unix_s * 1000;
    return world.boot_unix_s != 0;
}

void ek_loop_add(struct ek_poller *added) {
    ek_assert(!poller);
    poller = added;
}

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **at = &timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->armed = false;
}

void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer =
        (struct ek_timer){.next = timers, .due_us = due_us, .fn = fn, .arg = arg, .armed = true};
    timers = timer;
}

void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_start_at(timer, world.now_us + delay_us, fn, arg);
}

static void run(void) {
    unsigned rounds = 0;
    while (poller && poller->poll(poller->arg)) {
        ek_assert(++rounds < ROUNDS); // the loop would never sleep
    }
}

static void deliver(void) {
    while (inner && inner->state == INNER_OPEN && in_at < in_len) {
        size_t before = in_at;
        inner->events->readable(inner->arg);
        run();
        if (in_at == before) {
            return; // held back
        }
    }
    if (inner && inner->state == INNER_OPEN && ended && in_at == in_len) {
        inner->state = 0;
        inner->events->closed(inner->arg, ended);
        run();
    }
}

void world_advance(uint64_t us) {
    uint64_t until_us = world.now_us + us;
    for (;;) {
        struct ek_timer *first = timers;
        for (struct ek_timer *timer = timers; timer; timer = timer->next) {
            first = timer->due_us < first->due_us ? timer : first;
        }
        if (!first || first->due_us > until_us) {
            break;
        }
        world.now_us = first->due_us > world.now_us ? first->due_us : world.now_us;
        ek_timer_stop(first);
        first->fn(first->arg);
        run();
    }
    world.now_us = until_us;
}

int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    (void)host, (void)port;
    ek_assert(!inner || inner->state == 0);
    inner = stream;
    inner->events = events;
    inner->arg = arg;
    inner->state = INNER_OPENING;
    return EK_OK;
}

int ek_stream_write(struct ek_stream *stream, const void *data, size_t len) {
    if (stream->state != INNER_OPEN) {
        return EK_ECLOSED;
    }
    size_t taken = len < world.room ? len : world.room;
    world.room -= taken;
    if (taken > 0 && world.wrote) {
        world.wrote(data, taken);
    }
    return (int)taken;
}

size_t ek_stream_room(const struct ek_stream *stream) {
    return stream->state == INNER_OPEN ? world.room : 0;
}

void ek_stream_close(struct ek_stream *stream) { stream->state = 0; }

int ek_stream_read(struct ek_stream *stream, void *data, size_t len) {
    if (stream->state != INNER_OPEN) {
        return EK_ECLOSED;
    }
    size_t left = in_len - in_at, got = len < left ? len : left;
    if (got > 0) {
        memcpy(data, in + in_at, got);
    }
    in_at += got;
    return got == 0 && ended ? EK_ECLOSED : (int)got;
}

static void on_opened(void *arg) {
    (void)arg;
    world.opened++;
}

static void on_received(void *arg, const uint8_t *data, size_t len) {
    (void)arg;
    volatile uint8_t sum = 0; // touch every byte
    for (size_t i = 0; i < len; i++) {
        sum = (uint8_t)(sum + data[i]);
    }
    ek_assert(world.opened == 1 && world.closed == 0);
    world.received += len;
}

static void on_closed(void *arg, int status) {
    (void)arg;
    ek_assert(world.closed == 0 && status < 0);
    world.closed++;
    world.status = status;
}

static const struct ek_stream_events events = {
    .opened = on_opened, .received = on_received, .closed = on_closed};

void world_open(void) {
    ek_assert(outer.state == 0);
    random_state = 88172645463325252;
    in_at = in_len = 0;
    ended = 0;
    world.opened = world.closed = world.log_lines = 0;
    world.received = 0;
    world.log[0] = 0;
    world.status = tls_open(&outer, "localhost", 8883, &events, NULL);
    if (world.status == EK_OK) {
        inner->state = INNER_OPEN;
        inner->events->opened(inner->arg);
        run();
    }
}

void world_feed(const uint8_t *data, size_t len) {
    if (in_at == in_len) {
        in_at = in_len = 0;
    }
    ek_assert(len <= IN_BYTES - in_len);
    if (len > 0) {
        memcpy(in + in_len, data, len);
    }
    in_len += len;
    deliver();
}

void world_end(int status) {
    ended = status;
    deliver();
}

void world_room(size_t more) {
    world.room += more;
    if (inner && inner->state == INNER_OPEN) {
        inner->events->writable(inner->arg);
        run();
        deliver();
    }
}

int world_write(const void *data, size_t len) {
    int taken = tls_write(&outer, data, len);
    run();
    return taken;
}

void world_close(void) {
    tls_close(&outer);
    ek_assert(outer.state == 0);
    ek_assert(!inner || inner->state == 0);
    ek_assert(!timers);
}
