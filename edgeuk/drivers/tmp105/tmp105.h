// tmp105.h: instance data of the TMP105 driver, filled in by the generated pipeline.c.
#ifndef EK_TMP105_H
#define EK_TMP105_H
#include <stdint.h>
#include "ek/i2c.h"
#include "ek/sensor.h"
#include "ek/timer.h"

struct tmp105_state {
    struct ek_timer timer;
    uint64_t ready_us; // ek_clock_us() at which the first conversion with our settings is done
};

struct tmp105 {
    const struct ek_i2c *bus;
    uint8_t addr;
    uint16_t channel;
    struct tmp105_state *state;
};
extern const struct ek_sensor_ops tmp105_ops;

// Temperature in 0.001 degrees Celsius, rounded half away from zero, of the two bytes of the
// temperature register.
int32_t tmp105_decode(uint8_t high, uint8_t low);
#endif
