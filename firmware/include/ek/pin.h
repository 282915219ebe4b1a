// ek/pin.h: single pins of digital ports (ek/gpio.h), for the drivers of what hangs on them. A
// driver gets it by `needs = ["pins"]` and `at = "gpio"`. Several pins share a port: it is
// initialised once, and each pin hears of its own edges.
#ifndef EK_PIN_H
#define EK_PIN_H
#include <stdbool.h>
#include <stdint.h>
#include "ek/gpio.h"
#include "ek/timer.h"

// The owner provides the storage, zero at first, and keeps it for ever.
struct ek_pin {
    // The owner's, set before ek_pin_input() or ek_pin_output().
    const struct ek_gpio *port;
    uint8_t number;
    enum ek_gpio_pull pull;
    // Inputs: a level counts once it has stood still for this long; 0: at once.
    uint32_t debounce_us;
    // Inputs, from the event loop: `level` counts from now on. `edges` is how many there have been
    // for sure: 0 the first time, when the level at the start becomes known; 1 when it changed; 2,
    // only without debounce, when a pulse was so short that the level is what it was.
    void (*changed)(const void *dev, bool level, unsigned edges);
    const void *dev;

    // pins.c's.
    struct ek_pin *next;
    struct ek_timer timer;
    bool level;   // that counts, once it is
    bool known;   // which it is when the first level has stood still
    bool started; // on the way there
    bool first;   // of its port
};

// Make the pin an input and watch it. The statuses of ek_gpio_ops.init and .input.
int ek_pin_input(struct ek_pin *pin);
// Make the pin an output at `level`; from then on port->ops->set() sets it.
int ek_pin_output(struct ek_pin *pin, bool level);
#endif
