// mcp9808.h: instance data of the MCP9808 driver, filled in by the generated pipeline.c.
#ifndef EK_MCP9808_H
#define EK_MCP9808_H
#include <stdint.h>
#include "ek/i2c.h"
#include "ek/sensor.h"
#include "ek/timer.h"

struct mcp9808_state {
    struct ek_timer timer;
    uint64_t ready_us; // ek_clock_us() at which the first conversion with our settings is done
};

struct mcp9808 {
    const struct ek_i2c *bus;
    uint8_t addr;
    uint16_t channel;
    struct mcp9808_state *state;
};
extern const struct ek_sensor_ops mcp9808_ops;

// Temperature in 0.001 degrees Celsius, rounded half away from zero, of the two bytes of the
// ambient temperature register. Its three alert flags are ignored.
int32_t mcp9808_decode(uint8_t high, uint8_t low);
#endif
