// gpio_out.h: what the SDK fills in for each digital output.
#ifndef EK_GPIO_OUT_H
#define EK_GPIO_OUT_H
#include "ek/actuator.h"
#include "ek/pin.h"

struct gpio_out_state {
    struct ek_pin pin;
};

struct gpio_out {
    const struct ek_gpio *port;
    uint8_t pin;
    const char *active; // "high", "low": the level that is on
    struct gpio_out_state *state;
};
extern const struct ek_actuator_ops gpio_out_ops;
#endif
