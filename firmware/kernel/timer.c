// timer.c: one-shot timers (ek/timer.h) in a list sorted by due time, first come first served among
// equals. A gateway has a dozen: a list is smaller and, at that length, faster than a heap.
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/timer.h"
#include "kernel/internal.h"

// Timers that run in one round, so that one that is always late cannot starve the pollers.
enum { ROUND_MAX = 16 };

static struct ek_timer *timers;

void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *arg), void *arg) {
    ek_assert(fn != NULL);
    ek_timer_stop(timer);
    timer->due_us = due_us;
    timer->fn = fn;
    timer->arg = arg;
    timer->armed = true;
    struct ek_timer **at = &timers;
    while (*at && (*at)->due_us <= due_us) {
        at = &(*at)->next;
    }
    timer->next = *at;
    *at = timer;
}

void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *arg), void *arg) {
    uint64_t now_us = ek_clock_us();
    uint64_t due_us = delay_us < UINT64_MAX - now_us ? now_us + delay_us : UINT64_MAX;
    ek_timer_start_at(timer, due_us, fn, arg);
}

void ek_timer_stop(struct ek_timer *timer) {
    if (!timer->armed) {
        return;
    }
    struct ek_timer **at = &timers;
    while (*at != timer) {
        ek_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = timer->next;
    timer->armed = false;
}

bool timer_run(void) {
    uint64_t now_us = ek_clock_us();
    int ran = 0;
    while (timers && timers->due_us <= now_us && ran < ROUND_MAX) {
        struct ek_timer *timer = timers;
        timers = timer->next;
        timer->armed = false; // before fn, which may start it again
        watchdog_runs((uintptr_t)timer->fn);
        timer->fn(timer->arg);
        ran++;
    }
    return ran > 0;
}

uint64_t timer_next_us(void) { return timers ? timers->due_us : UINT64_MAX; }
