// ek/gpio.h: what every driver of general-purpose digital pins provides. One device is one port of
// up to 32 pins. Levels are electrical: true is high. What they mean (active low, debounced) is
// decided above, by gpio_in, pulse_counter and gpio_out.
#ifndef EK_GPIO_H
#define EK_GPIO_H
#include <stdbool.h>
#include <stdint.h>
#include "ek/status.h"

enum ek_gpio_pull { EK_GPIO_FLOAT, EK_GPIO_PULL_UP, EK_GPIO_PULL_DOWN };

struct ek_gpio_ops {
    // Clock the port and mask all its interrupts. Pins keep their level and direction. Called once
    // per device, before any pin is used. EK_OK, EK_ENOENT, EK_EIO.
    int (*init)(const void *dev);
    // Make `pin` an input; both edges are latched from now on and wake the processor. EK_OK;
    // EK_EINVAL: no such pin, or no such pull on this device.
    int (*input)(const void *dev, uint8_t pin, enum ek_gpio_pull pull);
    // Make `pin` an output at `level`, without a glitch: the level is set before the direction.
    int (*output)(const void *dev, uint8_t pin, bool level);
    bool (*get)(const void *dev, uint8_t pin);
    void (*set)(const void *dev, uint8_t pin, bool level);
    // The input pins (bit = pin) that had an edge since the last call; forgets them, which also
    // acknowledges the interrupt. One bit may stand for several edges. A device without edge
    // latches compares levels, and then misses pulses shorter than a round of the event loop.
    uint32_t (*edges)(const void *dev);
};

struct ek_gpio {
    const struct ek_gpio_ops *ops;
    const void *dev;
};
#endif
