// gpio_out.c: a digital output. The level is set before the pin becomes an output, so that nothing
// behind it sees a glitch; before that, what holds the pin is the board's matter (a pull resistor).
#include "gpio_out.h"

static bool level(const struct gpio_out *out, bool on) {
    return on != (out->active[0] == 'l'); // the SDK has checked the word
}

static int init(const void *dev, bool on) {
    const struct gpio_out *out = dev;
    struct ek_pin *pin = &out->state->pin;
    pin->port = out->port;
    pin->number = out->pin;
    return ek_pin_output(pin, level(out, on));
}

static int set(const void *dev, bool on) {
    const struct gpio_out *out = dev;
    out->port->ops->set(out->port->dev, out->pin, level(out, on));
    return EK_OK;
}

const struct ek_actuator_ops gpio_out_ops = {.init = init, .set = set};
