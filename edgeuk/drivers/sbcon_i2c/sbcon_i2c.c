// sbcon_i2c.c: an I2C master by software on Arm's SBCon port, two open-drain pins in a register.
// Documents: Arm DUI 0224, Two-wire serial bus interface (its registers are in parentheses); NXP
// UM10204 for the bus, whose sections are numbers in parentheses.
// Left out: other masters (no arbitration), 10-bit addresses, more than 400 kHz.
#include "sbcon_i2c.h"
#include <stdbool.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// A read shows the pins; writes let a pin go (1), or pull it low.
enum { LINES = 0x00, RELEASE = 0x00, PULL = 0x04 }; // (SB_CONTROL, SB_CONTROLS, SB_CONTROLC)
enum { SCL = 1u << 0, SDA = 1u << 1 };

// A device may stretch the clock; SMBus, the strictest, allows 25 ms in all.
enum { STRETCH_MAX_US = 25000 };
// A device that was cut off in the middle of a byte lets SDA go within nine clocks (3.1.16).
enum { RECOVERY_CLOCKS = 9 };

// Half a period of SCL, and up to a microsecond more: at 400 kHz 2 us, where table 10 asks for a
// low time of 1.3 us.
static void half_period(const struct sbcon_i2c *i2c) {
    uint32_t half_us = (500000 + i2c->speed_hz - 1) / i2c->speed_hz;
    uint64_t end_us = ek_clock_us() + half_us;
    while (ek_clock_us() <= end_us) { // "<=": the first microsecond had begun
    }
}

static bool is_high(const struct sbcon_i2c *i2c, uint32_t line) {
    return (ek_read32(i2c->base + LINES) & line) != 0;
}

static void set_data(const struct sbcon_i2c *i2c, bool high) {
    ek_write32(i2c->base + (high ? RELEASE : PULL), SDA);
    half_period(i2c);
}

// The low half of the period comes with set_data().
static void lower_clock(const struct sbcon_i2c *i2c) { ek_write32(i2c->base + PULL, SCL); }

// Let the clock go, and half a period from when it is high.
static int raise_clock(const struct sbcon_i2c *i2c) {
    ek_write32(i2c->base + RELEASE, SCL);
    uint64_t end_us = ek_clock_us() + STRETCH_MAX_US;
    while (!is_high(i2c, SCL)) {
        if (ek_clock_us() > end_us) {
            return EK_ETIMEDOUT;
        }
    }
    half_period(i2c);
    return EK_OK;
}

// One bit each way: what SDA shows while the clock is high, or EK_ETIMEDOUT. SCL is low before and
// after.
static int clock_bit(const struct sbcon_i2c *i2c, bool bit) {
    set_data(i2c, bit);
    int status = raise_clock(i2c);
    int seen = is_high(i2c, SDA);
    lower_clock(i2c);
    return status < 0 ? status : seen;
}

// SDA rises while SCL is high (3.1.4). SCL is low before; afterwards the bus is free.
static int stop(const struct sbcon_i2c *i2c) {
    set_data(i2c, false);
    int status = raise_clock(i2c);
    set_data(i2c, true);
    return status;
}

// Both lines high, by clocking a device off that holds SDA, which is not pulled here; EK_ETIMEDOUT
// if one stays low.
static int recover(const struct sbcon_i2c *i2c) {
    int status = raise_clock(i2c);
    bool held = !is_high(i2c, SDA);
    for (unsigned i = 0; i < RECOVERY_CLOCKS && status >= 0 && !is_high(i2c, SDA); i++) {
        lower_clock(i2c);
        half_period(i2c);
        status = raise_clock(i2c);
    }
    if (status < 0 || !is_high(i2c, SDA)) {
        return EK_ETIMEDOUT;
    }
    lower_clock(i2c);
    status = stop(i2c); // so that the device does not wait for the rest
    ek_counters.bus_recoveries += held && status >= 0 && is_high(i2c, SDA);
    return status;
}

// Start, or repeated start: SDA falls while SCL is high (3.1.4).
static int start(const struct sbcon_i2c *i2c, bool repeated) {
    int status = EK_OK;
    if (repeated) {
        set_data(i2c, true);
        status = raise_clock(i2c);
    } else if (!is_high(i2c, SDA) || !is_high(i2c, SCL)) {
        status = recover(i2c);
    }
    if (status >= 0) {
        set_data(i2c, false);
        lower_clock(i2c);
    }
    return status;
}

// EK_OK, EK_EIO where nobody acknowledged, EK_ETIMEDOUT.
static int send_byte(const struct sbcon_i2c *i2c, uint8_t byte) {
    for (unsigned bit = 0x80; bit != 0; bit >>= 1) {
        int status = clock_bit(i2c, byte & bit);
        if (status < 0) {
            return status;
        }
    }
    int refused = clock_bit(i2c, true);
    return refused > 0 ? EK_EIO : refused;
}

static int receive_byte(const struct sbcon_i2c *i2c, uint8_t *byte, bool last) {
    unsigned value = 0;
    for (unsigned i = 0; i < 8; i++) {
        int bit = clock_bit(i2c, true);
        if (bit < 0) {
            return bit;
        }
        value = value << 1 | (unsigned)bit;
    }
    *byte = (uint8_t)value;
    int status = clock_bit(i2c, last); // the last byte is not acknowledged (3.1.6)
    return status < 0 ? status : EK_OK;
}

static int init(const void *dev) {
    const struct sbcon_i2c *i2c = dev;
    ek_assert(i2c->base != 0);
    ek_assert(i2c->speed_hz != 0);
    ek_write32(i2c->base + RELEASE, SCL | SDA);
    half_period(i2c);
    return EK_OK; // a line that is held is found, and freed, by the next transfer
}

static int transfer(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in,
                    size_t in_len) {
    const struct sbcon_i2c *i2c = dev;
    ek_assert(out_len + in_len != 0);
    ek_assert(addr < 128);
    int status = start(i2c, false);
    if (status < 0) {
        return status;
    }
    if (out_len != 0) {
        status = send_byte(i2c, (uint8_t)(addr << 1));
        for (size_t i = 0; i < out_len && status >= 0; i++) {
            status = send_byte(i2c, out[i]);
        }
        if (status >= 0 && in_len != 0) {
            status = start(i2c, true);
        }
    }
    if (in_len != 0 && status >= 0) {
        status = send_byte(i2c, (uint8_t)(addr << 1 | 1));
        for (size_t i = 0; i < in_len && status >= 0; i++) {
            status = receive_byte(i2c, &in[i], i + 1 == in_len);
        }
    }
    int end = stop(i2c);
    return status < 0 ? status : end;
}

const struct ek_i2c_ops sbcon_i2c_ops = {.init = init, .transfer = transfer};
