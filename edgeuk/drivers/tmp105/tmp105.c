// tmp105.c: TMP105 temperature sensor and those with the same registers (TMP75, TMP175, ...).
// Datasheet: TI SBOS648; names in parentheses are its sections.
// Left out: shutdown and one-shot mode, alarm thresholds.
//
// The pointer register stays at the temperature, so that a poll is one read: "it is not necessary
// to continually send the pointer bytes" (Read Operation). Pointer and data go in transfers of
// their own, not joined by a repeated start, which QEMU's model of the Stellaris I2C master lacks.
#include "tmp105.h"
#include "ek/clock.h"

enum { TEMPERATURE = 0, CONFIGURATION = 1 }; // (Pointer Register)
enum {
    TWELVE_BITS = 3u << 5,
    ONE_SHOT = 1u << 7
}; // (Configuration Register) continuous conversion
enum { CONVERSION_US = 300000 }; // of 12 bits: typically 220 ms, at most 300 (Timing)

int32_t tmp105_decode(uint8_t high, uint8_t low) {
    // Left-aligned, 12 bits, 0.0625 degrees each (Temperature Register).
    int32_t half_milli = (int16_t)(high << 8 | low) / 16 * 125;
    return (half_milli + (half_milli < 0 ? -1 : 1)) / 2;
}

static int write(const struct tmp105 *sensor, const uint8_t *data, size_t len) {
    return sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, data, len, NULL, 0);
}

static int read(const struct tmp105 *sensor, uint8_t *data, size_t len) {
    return sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, NULL, 0, data, len);
}

static int init(const void *dev) {
    const struct tmp105 *sensor = dev;
    static const uint8_t configuration[] = {CONFIGURATION, TWELVE_BITS};
    static const uint8_t temperature[] = {TEMPERATURE};
    uint8_t now = 0;
    int status = sensor->bus->ops->init(sensor->bus->dev); // again where sensors share a bus
    if (status >= 0) {
        status = write(sensor, configuration, sizeof configuration);
    }
    if (status >= 0) {
        status = read(sensor, &now, 1);
    }
    if (status >= 0) {
        status = write(sensor, temperature, sizeof temperature);
    }
    if (status >= 0 && (now & ~(unsigned)ONE_SHOT) != TWELVE_BITS) {
        status = EK_EIO; // something else answers at this address
    }
    // A sensor that was just switched on shows 0 degrees until its first conversion ends.
    sensor->state->ready_us = ek_clock_us() + CONVERSION_US;
    return status;
}

static void measure(void *dev) {
    const struct tmp105 *sensor = dev;
    uint8_t raw[2] = {0, 0};
    int status = read(sensor, raw, sizeof raw);
    ek_sensor_report(sensor->channel, tmp105_decode(raw[0], raw[1]), 0, status);
}

static void poll(const void *dev) {
    const struct tmp105 *sensor = dev;
    struct tmp105_state *state = sensor->state;
    if (ek_clock_us() >= state->ready_us) {
        measure((void *)(uintptr_t)dev);
    } else if (!state->timer.armed) {
        ek_timer_start_at(&state->timer, state->ready_us, measure, (void *)(uintptr_t)dev);
    }
}

const struct ek_sensor_ops tmp105_ops = {.init = init, .poll = poll};
