// mcp9808.c: MCP9808 temperature sensor. Datasheet: Microchip DS25095A; numbers in parentheses are
// its sections.
// Left out: alert output and its limits, shutdown, coarser resolutions.
//
// Every read sends the register's number first, so that a sensor that lost its power between two
// polls is read rightly: it comes back converting, at 0.0625 degrees (5.3).
#include "mcp9808.h"
#include "ek/clock.h"

enum { CONFIGURATION = 1, TEMPERATURE = 5, MANUFACTURER = 6, DEVICE = 7, RESOLUTION = 8 }; // (5.1)
enum { MICROCHIP = 0x0054 };     // (5.1.4)
enum { MCP9808 = 0x04 };         // (5.1.5) the upper byte; the lower is the revision
enum { CONTINUOUS = 0 };         // (5.1.1) not shut down, alert output off
enum { SIXTEENTHS = 3 };         // (5.1.6)
enum { CONVERSION_US = 500000 }; // (5.2.4) typically 250 ms, no maximum given: twice that

int32_t mcp9808_decode(uint8_t high, uint8_t low) {
    // Bits 15 to 13 are alert flags, 12 to 0 two's complement, 0.0625 degrees each (5.1.3).
    int32_t code = (high & 0x1F) << 8 | low;
    int32_t half_milli = (code - (code & 0x1000) * 2) * 125;
    return (half_milli + (half_milli < 0 ? -1 : 1)) / 2;
}

static int write(const struct mcp9808 *sensor, const uint8_t *data, size_t len) {
    return sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, data, len, NULL, 0);
}

static int read(const struct mcp9808 *sensor, uint8_t reg, uint8_t raw[2]) {
    return sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, &reg, 1, raw, 2);
}

// EK_OK if an MCP9808, of any revision, answers.
static int identify(const struct mcp9808 *sensor) {
    uint8_t maker[2] = {0, 0};
    uint8_t device[2] = {0, 0};
    int status = read(sensor, MANUFACTURER, maker);
    if (status >= 0) {
        status = read(sensor, DEVICE, device);
    }
    if (status >= 0 && ((maker[0] << 8 | maker[1]) != MICROCHIP || device[0] != MCP9808)) {
        status = EK_EIO; // something else answers at this address
    }
    return status;
}

static int init(const void *dev) {
    const struct mcp9808 *sensor = dev;
    static const uint8_t configuration[] = {CONFIGURATION, 0, CONTINUOUS};
    static const uint8_t resolution[] = {RESOLUTION, SIXTEENTHS};
    int status = sensor->bus->ops->init(sensor->bus->dev); // again where sensors share a bus
    if (status >= 0) {
        status = identify(sensor); // before anything is written to what may be another chip
    }
    if (status >= 0) {
        status = write(sensor, configuration, sizeof configuration);
    }
    if (status >= 0) {
        status = write(sensor, resolution, sizeof resolution);
    }
    // Until its first conversion ends, the register holds what it held in shutdown (5.2.1), or 0.
    sensor->state->ready_us = ek_clock_us() + CONVERSION_US;
    return status;
}

static void measure(void *dev) {
    const struct mcp9808 *sensor = dev;
    uint8_t raw[2] = {0, 0};
    int status = read(sensor, TEMPERATURE, raw);
    ek_sensor_report(sensor->channel, mcp9808_decode(raw[0], raw[1]), 0, status);
}

static void poll(const void *dev) {
    const struct mcp9808 *sensor = dev;
    struct mcp9808_state *state = sensor->state;
    if (ek_clock_us() >= state->ready_us) {
        measure((void *)(uintptr_t)dev);
    } else { // while one waits already, the same timer at the same time
        ek_timer_start_at(&state->timer, state->ready_us, measure, (void *)(uintptr_t)dev);
    }
}

const struct ek_sensor_ops mcp9808_ops = {.init = init, .poll = poll};
