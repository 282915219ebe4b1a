// gpio_in.h: what the SDK fills in for each digital input.
#ifndef EK_GPIO_IN_H
#define EK_GPIO_IN_H
#include "ek/pin.h"
#include "ek/sensor.h"

struct gpio_in_state {
    struct ek_pin pin;
};

struct gpio_in {
    const struct ek_gpio *port;
    uint8_t pin;
    uint16_t channel;
    const char *active; // "high", "low": the level that is reported as 1
    const char *pull;   // "none", "up", "down"
    uint32_t debounce;  // ms
    struct gpio_in_state *state;
};
extern const struct ek_sensor_ops gpio_in_ops;
#endif
