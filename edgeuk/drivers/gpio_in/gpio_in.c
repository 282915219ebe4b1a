// gpio_in.c: a digital input: door contact, button, alarm output. Reports 0 or 1 at every period,
// and at once when the level has changed and stood still for `debounce`.
// Not seen: a pulse that is over before the event loop comes round.
#include "gpio_in.h"

static void report(const struct gpio_in *in) {
    bool low = in->active[0] == 'l'; // the SDK has checked the word
    ek_sensor_report(in->channel, in->state->pin.level != low, 0, EK_OK);
}

static void changed(const void *dev, bool level, unsigned edges) {
    (void)level;
    if (edges != 2) {
        report(dev);
    }
}

static int init(const void *dev) {
    const struct gpio_in *in = dev;
    struct ek_pin *pin = &in->state->pin;
    pin->port = in->port;
    pin->number = in->pin;
    pin->pull = in->pull[0] == 'u'   ? EK_GPIO_PULL_UP
                : in->pull[0] == 'd' ? EK_GPIO_PULL_DOWN
                                     : EK_GPIO_FLOAT;
    pin->debounce_us = in->debounce * 1000;
    pin->changed = changed;
    pin->dev = dev;
    return ek_pin_input(pin);
}

// Until the first level has stood still there is none to report; changed() will.
static void poll(const void *dev) {
    const struct gpio_in *in = dev;
    if (in->state->pin.known) {
        report(in);
    }
}

const struct ek_sensor_ops gpio_in_ops = {.init = init, .poll = poll};
