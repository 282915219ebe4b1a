// sim.h: what the SDK fills in for each simulated sensor.
#ifndef SIM_H
#define SIM_H
#include <stdbool.h>
#include <stdint.h>
#include "ek/sensor.h"

struct sim;
struct sim_state {
    uint32_t (*part)(const struct sim *sim); // of the shape
    uint32_t noise;                          // state of the generator, never 0
};

struct sim {
    struct sim_state *state;
    uint16_t channel;
    const char *shape; // "sine", "ramp", "steps", "noise"
    int64_t low, high; // steps of the channel: 10^-decimals of its unit; low <= high
    uint32_t period;   // ms, of sine, ramp and steps; > 0
    uint32_t seed;     // of the noise
};

extern const struct ek_sensor_ops sim_ops;
#endif
