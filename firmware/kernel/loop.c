// loop.c: the event loop (ek/loop.h). One round: timers that are due, every poller once; when
// nobody did anything, sleep until the next timer or an interrupt.
#include "arch/arch.h"
#include "ek/clock.h"
#include "ek/loop.h"
#include "kernel/internal.h"

static struct ek_poller *pollers;
static uint64_t idle_us;

void ek_loop_add(struct ek_poller *poller) {
    struct ek_poller **end = &pollers;
    while (*end) {
        end = &(*end)->next;
    }
    poller->next = NULL;
    *end = poller;
}

static bool poll_all(void) {
    watchdog_feed();
    bool busy = timer_run();
    for (struct ek_poller *p = pollers; p; p = p->next) {
        watchdog_runs((uintptr_t)p->poll);
        if (p->poll(p->arg)) {
            busy = true;
        }
    }
    watchdog_runs(0);
    return busy;
}

_Noreturn void ek_loop_run(void) {
    for (;;) {
        if (poll_all()) {
            continue;
        }
        uint64_t asleep_us = ek_clock_us();
        arch_idle(timer_next_us());
        idle_us += ek_clock_us() - asleep_us;
    }
}

unsigned ek_loop_idle_permille(void) {
    uint64_t up_ms = ek_clock_us() / 1000;
    return up_ms == 0 ? 0 : (unsigned)(idle_us / up_ms);
}
