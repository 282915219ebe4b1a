// fxos8700.c: FXOS8700CQ accelerometer and magnetometer. A sensor of the gateway file is one axis
// of one of them; all that share a chip find it as they want it, and set it up when it is not.
// Datasheet: NXP FXOS8700CQ; names in parentheses are its registers.
// Left out: the die's temperature (not calibrated), larger ranges, FIFO, events, hard-iron offsets.
#include "fxos8700.h"
#include "ek/counters.h"

enum { STATUS = 0x00, F_SETUP = 0x09, SYSMOD = 0x0b, XYZ_DATA_CFG = 0x0e, CTRL_REG1 = 0x2a };
enum { CTRL_REG2 = 0x2b, M_DR_STATUS = 0x32, M_CTRL_REG1 = 0x5b, M_CTRL_REG2 = 0x5c };
enum { IDENTITY = 0xc7 };               // (WHO_AM_I), two behind SYSMOD; before XYZ_DATA_CFG
enum { MODE = 3u << 0, MODE_WAKE = 1 }; // (SYSMOD)
enum { STANDBY = 0x00, ACTIVE_100_HZ = 2u << 3 | 1u << 0 }; // (CTRL_REG1) hybrid: half of 200 Hz
enum { HIGH_RESOLUTION = 2u << 0 };                         // (CTRL_REG2)
enum { HYBRID = 7u << 2 | 3u << 0 };                        // (M_CTRL_REG1) most oversampling
enum { RANGE_2_G = 0 };                                     // (XYZ_DATA_CFG) 4096 counts each
enum { SATURATED_ACCEL = 8191, SATURATED_MAG = 12000 };     // 14 bits; 1200 uT

// The first result comes two periods and 1 ms after it became active, at 100 Hz.
enum { READY_US = 25000 };

int32_t fxos8700_acceleration(uint8_t high, uint8_t low) {
    // Left-aligned, 14 bits; 9.80665 m/s2 are 4096 counts: 98066.5 / 4096 = 196133 / 8192.
    int32_t scaled = (int16_t)(high << 8 | low) / 4 * 196133;
    return (scaled + (scaled < 0 ? -4096 : 4096)) / 8192;
}

static int read(const struct fxos8700 *sensor, uint8_t reg, uint8_t *data, size_t len) {
    return sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, &reg, 1, data, len);
}

// Settings take effect in standby only.
static int set_up(const struct fxos8700 *sensor) {
    static const uint8_t settings[][2] = {
        {CTRL_REG1, STANDBY},         {F_SETUP, 0},          {XYZ_DATA_CFG, RANGE_2_G},
        {CTRL_REG2, HIGH_RESOLUTION}, {M_CTRL_REG1, HYBRID}, {M_CTRL_REG2, 0},
        {CTRL_REG1, ACTIVE_100_HZ},
    };
    int status = EK_OK;
    for (unsigned i = 0; i < sizeof settings / sizeof settings[0] && status >= 0; i++) {
        status = sensor->bus->ops->transfer(sensor->bus->dev, sensor->addr, settings[i],
                                            sizeof settings[i], NULL, 0);
    }
    return status;
}

// 1: it is the right chip and measures as it should; 0: the right chip, but not so.
static int check(const struct fxos8700 *sensor) {
    uint8_t now[4] = {0}, control = 0, magnetic = 0; // SYSMOD, INT_SOURCE, WHO_AM_I, XYZ_DATA_CFG
    int status = read(sensor, SYSMOD, now, sizeof now);
    if (status >= 0 && now[2] != IDENTITY) {
        status = EK_EIO;
    }
    if (status >= 0) {
        status = read(sensor, CTRL_REG1, &control, 1);
    }
    if (status >= 0) {
        status = read(sensor, M_CTRL_REG1, &magnetic, 1);
    }
    return status < 0 ? status
                      : (now[0] & MODE) == MODE_WAKE && now[3] == RANGE_2_G &&
                            control == ACTIVE_100_HZ && magnetic == HYBRID;
}

static int init(const void *dev) {
    const struct fxos8700 *sensor = dev;
    int status = sensor->bus->ops->init(sensor->bus->dev); // again where sensors share a bus
    if (status >= 0) {
        status = check(sensor);
    }
    return status != 0 ? (status < 0 ? status : EK_OK) : set_up(sensor);
}

// Report a new result; 0: there is none yet.
static int measure(const struct fxos8700 *sensor) {
    bool magnetic = sensor->quantity[0] == 'm';
    unsigned axis = (unsigned)(sensor->quantity[magnetic ? 4 : 6] - 'x');
    uint8_t data[7]; // data-ready flags, one per axis, then two bytes each
    int status = read(sensor, magnetic ? M_DR_STATUS : STATUS, data, 3 + 2 * axis);
    if (status < 0) {
        return status;
    }
    if (!(data[0] >> axis & 1)) {
        return 0;
    }
    uint8_t high = data[1 + 2 * axis], low = data[2 + 2 * axis];
    int32_t raw = (int16_t)(high << 8 | low), most = SATURATED_MAG;
    int32_t value = raw; // 0.1 uT each
    if (!magnetic) {
        raw /= 4;
        most = SATURATED_ACCEL;
        value = fxos8700_acceleration(high, low);
    }
    bool saturated = raw >= most || raw <= -most;
    ek_sensor_report(sensor->channel, value, saturated ? EK_QUALITY_CLAMPED : 0, EK_OK);
    return 1;
}

static void measure_again(void *dev) {
    const struct fxos8700 *sensor = dev;
    int status = measure(sensor);
    if (status <= 0) { // two periods without a result: it has stopped
        ek_sensor_report(sensor->channel, 0, 0, status < 0 ? status : EK_EIO);
    }
}

// A chip that was off in between comes back in standby and is set up anew. Without a new result
// another sensor has just taken it, or the first one is on its way.
static void poll(const void *dev) {
    const struct fxos8700 *sensor = dev;
    struct fxos8700_state *state = sensor->state;
    if (state->timer.armed) {
        return;
    }
    int status = check(sensor);
    if (status == 0) {
        ek_counters.device_restarts++;
        status = set_up(sensor);
    }
    if (status >= 0) {
        status = measure(sensor);
    }
    if (status < 0) {
        ek_sensor_report(sensor->channel, 0, 0, status);
    } else if (status == 0) {
        ek_timer_start(&state->timer, READY_US, measure_again, (void *)(uintptr_t)dev);
    }
}

const struct ek_sensor_ops fxos8700_ops = {.init = init, .poll = poll};
