// stellaris_i2c.c: the I2C master of Stellaris LM3S chips. Polled; no interrupts.
// Datasheet: TI LM3S6965, chapter Inter-Integrated Circuit; names in parentheses are its registers.
// Left to the board's soc driver: clock gate and pins. Left out: the slave half; clocking a device
// off the bus that holds SDA low (the pins would have to be GPIOs for that).
#include "stellaris_i2c.h"
#include <stdbool.h>
#include "ek/assert.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { MSA = 0x00, MCS = 0x04, MDR = 0x08, MTPR = 0x0c, MCR = 0x20 };
enum { RUN = 1u << 0, START = 1u << 1, STOP = 1u << 2, ACK = 1u << 3 }; // (I2CMCS) written
enum { BUSY = 1u << 0, ERROR = 1u << 1, ARBITRATION_LOST = 1u << 4, BUS_BUSY = 1u << 6 }; // read
enum { MASTER = 1u << 4 };                     // (I2CMCR.MFE)
enum { READ = 1u << 0 };                       // (I2CMSA.R/S)
enum { PERIOD_CLOCKS = 20, PERIOD_MAX = 255 }; // 2 * (SCL_LP 6 + SCL_HP 4) (I2CMTPR)

// A byte takes 90 us at 100 kHz, a slow device stretches that to some ms. A poll takes over 40 ns
// at 50 MHz: 10 ms at least.
enum { POLLS_MAX = 250000 };

// What MCS shows once `busy` is clear, or EK_ETIMEDOUT.
static int wait_clear(const struct stellaris_i2c *i2c, uint32_t busy) {
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        uint32_t status = ek_read32(i2c->base + MCS);
        if (!(status & busy)) {
            return (int)(status & 0x7f);
        }
    }
    // Start afresh, so that the next transfer has a chance.
    ek_write32(i2c->base + MCR, 0);
    ek_write32(i2c->base + MCR, MASTER);
    return EK_ETIMEDOUT;
}

// One command, to its end. An error that left the bus ours gives it back.
static int run(const struct stellaris_i2c *i2c, uint32_t command) {
    ek_write32(i2c->base + MCS, command);
    int status = wait_clear(i2c, BUSY);
    if (status < 0 || !(status & ERROR)) {
        return status;
    }
    if (!(status & ARBITRATION_LOST) && !(command & STOP)) {
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
