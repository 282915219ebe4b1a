// pins.c: see ek/pin.h. One poller takes the edges of every port in use, so that none is lost to
// whoever asks first, and hands them to the pins that they belong to.
#include <stddef.h>
#include "ek/assert.h"
#include "ek/loop.h"
#include "ek/pin.h"

static struct ek_pin *pins; // those that work

// The level has stood still for debounce_us, or need not.
static void settle(void *arg) {
    struct ek_pin *pin = arg;
    bool level = pin->port->ops->get(pin->port->dev, pin->number);
    unsigned edges = !pin->known ? 0 : level != pin->level ? 1 : 2;
    if (edges == 2 && pin->debounce_us > 0) {
        return; // it bounced and came back
    }
    pin->level = level;
    pin->known = true;
    pin->changed(pin->dev, level, edges);
}

static void edge(struct ek_pin *pin) {
    // The first level is taken a round later at the earliest: a pull resistor needs a moment.
    if (pin->debounce_us == 0 && pin->known) {
        settle(pin);
    } else {
        ek_timer_start(&pin->timer, pin->debounce_us, settle, pin);
    }
    pin->started = true;
}

static bool poll(void *arg) {
    (void)arg;
    bool busy = false;
    uint32_t edges = 0;
    for (struct ek_pin *first = pins; first != NULL; first = first->next) {
        if (!first->first) {
            continue;
        }
        edges = first->port->ops->edges(first->port->dev);
        for (struct ek_pin *pin = first; pin != NULL; pin = pin->next) {
            // Edges of before the start are forgotten: it waits for the level as it is.
            if (pin->port == first->port && pin->changed != NULL &&
                (!pin->started || (edges >> pin->number & 1) != 0)) {
                edge(pin);
                busy = true;
            }
        }
    }
    return busy;
}

// The port works, and `end` is where the list ends; or why it does not.
static int begin(struct ek_pin *pin, struct ek_pin ***end) {
    ek_assert(pin->number < 32);
    pin->first = true;
    for (*end = &pins; **end != NULL; *end = &(**end)->next) {
        ek_assert(**end != pin);
        pin->first = pin->first && (**end)->port != pin->port;
    }
    return pin->first ? pin->port->ops->init(pin->port->dev) : EK_OK;
}

static int finish(struct ek_pin *pin, struct ek_pin **end, int status) {
    static struct ek_poller poller;
    if (status != EK_OK) {
        return status;
    }
    *end = pin;
    if (poller.poll == NULL) {
        poller.poll = poll;
        ek_loop_add(&poller);
    }
    return EK_OK;
}

int ek_pin_input(struct ek_pin *pin) {
    struct ek_pin **end;
    ek_assert(pin->changed != NULL);
    int status = begin(pin, &end);
    if (status == EK_OK) {
        status = pin->port->ops->input(pin->port->dev, pin->number, pin->pull);
    }
    return finish(pin, end, status);
}

int ek_pin_output(struct ek_pin *pin, bool level) {
    struct ek_pin **end;
    int status = begin(pin, &end);
    if (status == EK_OK) {
        status = pin->port->ops->output(pin->port->dev, pin->number, level);
    }
    return finish(pin, end, status);
}
