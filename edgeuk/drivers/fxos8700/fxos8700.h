// fxos8700.h: instance data of the FXOS8700 driver, filled in by the generated pipeline.c.
#ifndef EK_FXOS8700_H
#define EK_FXOS8700_H
#include <stdint.h>
#include "ek/i2c.h"
#include "ek/sensor.h"
#include "ek/timer.h"

struct fxos8700_state {
    struct ek_timer timer; // armed while a measurement waits for the device
};

struct fxos8700 {
    const struct ek_i2c *bus;
    uint8_t addr;
    uint16_t channel;
    const char *quantity; // "accel_x" to "mag_z"
    struct fxos8700_state *state;
};
extern const struct ek_sensor_ops fxos8700_ops;

// Of the two bytes of an axis: acceleration in 0.0001 m/s2, rounded half away from zero.
int32_t fxos8700_acceleration(uint8_t high, uint8_t low);
#endif
