// stellaris_i2c.c: the I2C master of Stellaris LM3S chips. Polled; no interrupts.
// Datasheet: TI LM3S6965, chapter Inter-Integrated Circuit; names in parentheses are its registers.
// Left to the board's soc driver: clock gate and pins. Left out: the slave half.
#include "stellaris_i2c.h"
#include <stdbool.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { MSA = 0x00, MCS = 0x04, MDR = 0x08, MTPR = 0x0c, MCR = 0x20 };
enum { RUN = 1u << 0, START = 1u << 1, STOP = 1u << 2, ACK = 1u << 3 }; // (I2CMCS) written
enum { BUSY = 1u << 0, ERROR = 1u << 1, ARBITRATION_LOST = 1u << 4, BUS_BUSY = 1u << 6 }; // read
enum { MASTER = 1u << 4 };                     // (I2CMCR.MFE)
enum { READ = 1u << 0 };                       // (I2CMSA.R/S)
enum { PERIOD_CLOCKS = 20, PERIOD_MAX = 255 }; // 2 * (SCL_LP 6 + SCL_HP 4) (I2CMTPR)

// The port of both pins (chapter General-Purpose Input/Outputs); bits 2 to 9 of the address of its
// data say which pins are meant.
enum { GPIO_DATA_SHIFT = 2, GPIO_DIR = 0x400, GPIO_AFSEL = 0x420 };
enum { HALF_CLOCK_US = 5 }; // of 100 kHz, which every device follows
// Another master changes one of the lines within 50 us at 10 kHz; a device may stretch that.
enum { HELD_US = 1000 };

// A byte takes 90 us at 100 kHz, a slow device stretches that to some ms. A poll takes over 40 ns
// at 50 MHz: 10 ms at least.
enum { POLLS_MAX = 250000 };

static bool is_high(const struct stellaris_i2c *i2c, unsigned pin) {
    return ek_read32(i2c->gpio + (1u << pin << GPIO_DATA_SHIFT)) != 0;
}

static void change(uintptr_t addr, uint32_t clear, uint32_t set) {
    ek_write32(addr, (ek_read32(addr) & ~clear) | set);
}

// Let a pin go, or pull it low. Both are open drain: what the latch had before does no harm.
static void drive(const struct stellaris_i2c *i2c, unsigned pin, bool low) {
    change(i2c->gpio + GPIO_DIR, 1u << pin, (uint32_t)low << pin);
    ek_write32(i2c->gpio + (1u << pin << GPIO_DATA_SHIFT), 0);
    for (uint64_t end_us = ek_clock_us() + HALF_CLOCK_US; ek_clock_us() < end_us;) {
    }
}

// Clock a device that holds SDA low through the rest of its byte, then STOP (NXP UM10204, 3.1.16).
static void free_bus(const struct stellaris_i2c *i2c) {
    uint32_t both = 1u << i2c->scl_pin | 1u << i2c->sda_pin;
    change(i2c->gpio + GPIO_DIR, both, 0);
    change(i2c->gpio + GPIO_AFSEL, both, 0);
    bool held = !is_high(i2c, i2c->sda_pin);
    for (unsigned i = 0; i < 9 && !is_high(i2c, i2c->sda_pin); i++) {
        drive(i2c, i2c->scl_pin, true);
        drive(i2c, i2c->scl_pin, false);
    }
    drive(i2c, i2c->scl_pin, true);
    drive(i2c, i2c->sda_pin, true);
    drive(i2c, i2c->scl_pin, false);
    drive(i2c, i2c->sda_pin, false);
    ek_counters.bus_recoveries += held && is_high(i2c, i2c->sda_pin);
    change(i2c->gpio + GPIO_AFSEL, 0, both);
}

// Whether SDA stays low while SCL is high: no master leaves it so.
static bool is_held(const struct stellaris_i2c *i2c) {
    for (uint64_t end_us = ek_clock_us() + HELD_US; ek_clock_us() < end_us;) {
        if (is_high(i2c, i2c->sda_pin) || !is_high(i2c, i2c->scl_pin)) {
            return false;
        }
    }
    return true;
}

// Start afresh, so that the next transfer has a chance.
static void recover(const struct stellaris_i2c *i2c) {
    ek_write32(i2c->base + MCR, 0);
    if (i2c->gpio != 0) {
        free_bus(i2c);
    }
    ek_write32(i2c->base + MCR, MASTER);
}

// What MCS shows once `busy` is clear, or EK_ETIMEDOUT.
static int wait_clear(const struct stellaris_i2c *i2c, uint32_t busy) {
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        uint32_t status = ek_read32(i2c->base + MCS);
        if (!(status & busy)) {
            return (int)(status & 0x7f);
        }
    }
    recover(i2c);
    return EK_ETIMEDOUT;
}

// One command, to its end. An error that left the bus ours gives it back.
static int run(const struct stellaris_i2c *i2c, uint32_t command) {
    ek_write32(i2c->base + MCS, command);
    int status = wait_clear(i2c, BUSY);
    if (status < 0 || !(status & ERROR)) {
        return status;
    }
    if (status & ARBITRATION_LOST) {
        // Also what a START finds that a device holds SDA low for: it was cut off within a byte.
        if (i2c->gpio != 0 && is_held(i2c)) {
            recover(i2c);
        }
    } else if (!(command & STOP)) {
        ek_write32(i2c->base + MCS, STOP);
        status = wait_clear(i2c, BUSY);
    }
    return status < 0 ? status : EK_EIO;
}

static int init(const void *dev) {
    const struct stellaris_i2c *i2c = dev;
    ek_assert(i2c->base != 0);
    ek_assert(i2c->speed_hz != 0);
    // SCL = clock / (PERIOD_CLOCKS * (1 + TPR)), TPR rounded up: never faster than asked for.
    uint32_t step_hz = PERIOD_CLOCKS * i2c->speed_hz;
    uint32_t period = (i2c->clock_hz + step_hz - 1) / step_hz - 1;
    if (i2c->clock_hz <= step_hz || period > PERIOD_MAX) { // TPR is at least 1
        return EK_EINVAL;
    }
    ek_write32(i2c->base + MCR, MASTER);
    ek_write32(i2c->base + MTPR, period);
    return EK_OK;
}

static int transfer(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in,
                    size_t in_len) {
    const struct stellaris_i2c *i2c = dev;
    ek_assert(out_len + in_len != 0);
    ek_assert(addr < 128);
    int status = wait_clear(i2c, BUS_BUSY | BUSY); // another master's transfer
    for (size_t i = 0; i < out_len + in_len && status >= 0; i++) {
        bool reading = i >= out_len;
        bool last = i + 1 == out_len + in_len;
        uint32_t command = RUN | (last ? STOP : ACK); // ACK means nothing when sending
        if (i == 0 || i == out_len) {
            ek_write32(i2c->base + MSA, (uint32_t)addr << 1 | (reading ? READ : 0));
            command |= START;
        }
        if (!reading) {
            ek_write32(i2c->base + MDR, out[i]);
        }
        status = run(i2c, command);
        if (reading) {
            in[i - out_len] = (uint8_t)ek_read32(i2c->base + MDR);
        }
    }
    return status < 0 ? status : EK_OK;
}

const struct ek_i2c_ops stellaris_i2c_ops = {.init = init, .transfer = transfer};
