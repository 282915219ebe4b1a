// i6300esb.h: instance data of the 6300ESB watchdog driver, filled in by the generated devices.c.
#ifndef EK_I6300ESB_H
#define EK_I6300ESB_H
#include <stdbool.h>
#include "ek/watchdog.h"

struct i6300esb_state {
    uintptr_t base;    // of the registers; 0: there are none
    uint32_t function; // place on the bus
    bool searched;
};

struct i6300esb {
    uintptr_t window; // where the registers may lie if nobody has said so
    struct i6300esb_state *state;
};
extern const struct ek_watchdog_ops i6300esb_ops;
#endif
