// fake.c: see fake.h. A call that the real stream forbids ends the program.
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/loop.h"
#include "ek/net.h"
#include "ek/random.h"
#include "ek/stream.h"
#include "ek/timer.h"

struct fake fake;
static struct ek_stream *stream;
static struct ek_timer *timers;
static struct ek_poller *pollers;

void fake_reset(void) {
    memset(&fake, 0, sizeof fake);
    stream = NULL;
    timers = NULL;
    pollers = NULL;
}

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    abort();
}

uint64_t ek_clock_us(void) { return fake.now_us; }
uint32_t ek_random32(void) { return fake.random; }
bool ek_net_up(void) { return fake.net_up; }

void ek_loop_add(struct ek_poller *poller) {
    poller->next = pollers;
    pollers = poller;
}

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **at = &timers; *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->armed = false;
}

void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    timer->due_us = due_us;
    timer->fn = fn;
    timer->arg = arg;
    timer->armed = true;
    timer->next = timers;
    timers = timer;
}

void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_start_at(timer, fake.now_us + delay_us, fn, arg);
}

void fake_poll(void) {
    unsigned rounds = 0;
    for (bool worked = true; worked;) {
        worked = false;
        for (struct ek_poller *poller = pollers; poller != NULL; poller = poller->next) {
            worked |= poller->poll(poller->arg);
        }
        ek_assert(++rounds < 100000); // the loop would never sleep
    }
}

static struct ek_timer *earliest(void) {
    struct ek_timer *first = timers;
    for (struct ek_timer *timer = timers; timer != NULL; timer = timer->next) {
        if (timer->due_us < first->due_us) {
            first = timer;
        }
    }
    return first;
}

void fake_advance(uint64_t us) {
    uint64_t until_us = fake.now_us + us;
    unsigned rounds = 0;
    for (struct ek_timer *timer = earliest(); timer != NULL && timer->due_us <= until_us;
         timer = earliest()) {
        if (timer->due_us > fake.now_us) {
            fake.now_us = timer->due_us;
            rounds = 0;
        }
        ek_assert(++rounds < 1000); // a timer that starts itself for now
        ek_timer_stop(timer);
        timer->fn(timer->arg);
        fake_poll();
    }
    fake.now_us = until_us;
}

int ek_stream_open(struct ek_stream *opened, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    ek_assert(!fake.open);
    stream = opened;
    stream->events = events;
    stream->arg = arg;
    stream->state = 1;
    fake.open = true;
    if (fake.opening != NULL) {
        fake.opening(host, port);
    }
    return EK_OK;
}

int ek_stream_write(struct ek_stream *to, const void *data, size_t len) {
    if (to->state != 2) {
        return EK_ECLOSED;
    }
    size_t taken = len < fake.room ? len : fake.room;
    fake.room -= taken;
    if (taken != 0 && fake.wrote != NULL) {
        fake.wrote(data, taken);
    }
    return (int)taken;
}

size_t ek_stream_room(const struct ek_stream *of) { return of->state == 2 ? fake.room : 0; }

void ek_stream_close(struct ek_stream *closed) {
    if (closed->state != 0 && fake.closing != NULL) {
        fake.closing();
    }
    closed->state = 0;
    fake.open = false;
}

void fake_opened(void) {
    if (fake.open && stream->state == 1) {
        stream->state = 2;
        stream->events->opened(stream->arg);
        fake_poll();
    }
}

void fake_received(const uint8_t *data, size_t len) {
    if (fake.open && stream->state == 2) {
        stream->events->received(stream->arg, data, len);
        fake_poll();
    }
}

void fake_writable(void) {
    if (fake.open && stream->state == 2) {
        stream->events->writable(stream->arg);
        fake_poll();
    }
}

void fake_closed(int status) {
    if (fake.open) {
        stream->state = 0;
        fake.open = false;
        stream->events->closed(stream->arg, status);
        fake_poll();
    }
}

const struct ek_stream_ops ek_transport = {.open = ek_stream_open,
                                           .write = ek_stream_write,
                                           .room = ek_stream_room,
                                           .close = ek_stream_close};
