// pulse_counter.h: what the SDK fills in for each counter of pulses.
#ifndef EK_PULSE_COUNTER_H
#define EK_PULSE_COUNTER_H
#include "ek/pin.h"
#include "ek/sensor.h"

struct pulse_counter_state {
    struct ek_pin pin;
    uint64_t count; // since boot; never goes back
};

struct pulse_counter {
    const struct ek_gpio *port;
    uint8_t pin;
    uint16_t channel;
    const char *edge;  // "rising", "falling", "both": what is counted
    const char *pull;  // "none", "up", "down"
    uint32_t debounce; // ms
    struct pulse_counter_state *state;
};
extern const struct ek_sensor_ops pulse_counter_ops;
#endif
