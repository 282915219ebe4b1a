// ek/timer.h: one-shot timers, run from the event loop.
#ifndef EK_TIMER_H
#define EK_TIMER_H
#include <stdbool.h>
#include <stdint.h>

struct ek_timer {
    struct ek_timer *next; // kernel's
    uint64_t due_us;       // kernel's: ek_clock_us() at which it runs
    void (*fn)(void *arg);
    void *arg;
    bool armed; // kernel's
};

// Run fn(arg) once from the event loop, `delay_us` from now or as soon after as the loop comes
// round. An armed timer is moved. The timer must live until it ran or was stopped.
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *arg), void *arg);
// As above, at an absolute ek_clock_us() time: for periods that must not drift.
void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *arg), void *arg);
void ek_timer_stop(struct ek_timer *timer); // no effect on one that is not armed
#endif
