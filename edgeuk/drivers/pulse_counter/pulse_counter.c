// pulse_counter.c: counts edges of a digital input since boot, and reports the count at every
// period. Words of a prop differ in their first letter; the SDK has checked them.
//
// How fast: with `debounce`, every level must stand still for that long, so at most 1 / (2 *
// debounce) pulses a second: 100 a second with 5 ms. With `debounce = "0s"`, a round of the event
// loop counts one pulse: a port latches that there was an edge, not how many. Then a pulse and the
// pause after it must not both be over within the longest round, which is what the slowest driver
// of the image blocks for. Faster pulses are counted too few, never too many.
#include "pulse_counter.h"

static void changed(const void *dev, bool level, unsigned edges) {
    const struct pulse_counter *counter = dev;
    switch (counter->edge[0]) {
    case 'b':
        counter->state->count += edges;
        break;
    case 'r':
        counter->state->count += edges == 2 || (edges == 1 && level);
        break;
    default:
        counter->state->count += edges == 2 || (edges == 1 && !level);
    }
}

static int init(const void *dev) {
    const struct pulse_counter *counter = dev;
    struct ek_pin *pin = &counter->state->pin;
    pin->port = counter->port;
    pin->number = counter->pin;
    pin->pull = counter->pull[0] == 'u'   ? EK_GPIO_PULL_UP
                : counter->pull[0] == 'd' ? EK_GPIO_PULL_DOWN
                                          : EK_GPIO_FLOAT;
    pin->debounce_us = counter->debounce * 1000;
    pin->changed = changed;
    pin->dev = dev;
    return ek_pin_input(pin);
}

static void poll(const void *dev) {
    const struct pulse_counter *counter = dev;
    ek_sensor_report(counter->channel, (int64_t)counter->state->count, 0, EK_OK);
}

const struct ek_sensor_ops pulse_counter_ops = {.init = init, .poll = poll};
