// ek/sensor.h: what every sensor driver provides, and how it hands over what it measured.
#ifndef EK_SENSOR_H
#define EK_SENSOR_H
#include <stdint.h>
#include "ek/status.h"

struct ek_sensor_ops {
    // Check and configure the device. EK_OK; EK_EIO, EK_ENOENT: the pipeline tries again at the
    // next poll. NULL where there is nothing to do.
    int (*init)(const void *dev);
    // Begin one measurement. Every channel of the device is then reported exactly once with
    // ek_sensor_report(), before poll() returns or later from the event loop, but before a
    // limit of the driver's own. Never called again while one is under way... unless the driver
    // overruns its period: it then ignores the call.
    void (*poll)(const void *dev);
};

// Quality flags of a reading.
enum {
    EK_QUALITY_SIMULATED = 1u << 0, // made up by software
    EK_QUALITY_CLAMPED = 1u << 1,   // limited by a filter, or saturated
};

// Hand one result to the pipeline. `channel`: index into the generated channel table.
// `status` EK_OK: `value` counts, in units of 10^-decimals of the channel's unit (ek_channel),
// `quality` is a set of EK_QUALITY flags. Otherwise why there is none; value is ignored.
void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status);
#endif
