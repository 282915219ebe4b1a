// ek/loop.h: the event loop. Everything runs from it, to completion; interrupts only wake it.
#ifndef EK_LOOP_H
#define EK_LOOP_H
#include <stdbool.h>

struct ek_poller {
    struct ek_poller *next; // kernel's
    // Do what is due; returns true when something was done, so that the loop comes round again
    // before it sleeps. Must be bounded.
    bool (*poll)(void *arg);
    void *arg;
};
void ek_loop_add(struct ek_poller *poller);
_Noreturn void ek_loop_run(void);

// Share of time spent asleep since boot, in 1/1000.
unsigned ek_loop_idle_permille(void);
#endif
