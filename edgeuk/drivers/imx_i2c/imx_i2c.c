// imx_i2c.c: the I2C master of NXP i.MX and Kinetis chips. Polled; no interrupts.
// Documents: NXP IMX6ULRM, chapter I2C; K64P144M120SF5RM, chapter I2C; NXP UM10204 (the bus). Names
// in parentheses are registers, of i.MX first.
// Left to the board's soc driver: clock gate and pins. Left out: the slave half.
#include "imx_i2c.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// Registers by number, 4 bytes apart on i.MX, 1 on Kinetis: (I2CR, C1) and so on.
enum { DIVIDER = 1, CONTROL = 2, STATUS = 3, DATA = 4 };
enum { ENABLE = 1u << 7, INTERRUPT = 1u << 6, MASTER = 1u << 5, SEND = 1u << 4 }; // (I2CR, C1)
enum { NO_ACK = 1u << 3, RESTART = 1u << 2 };
enum { BUSY = 1u << 5, LOST = 1u << 4, DONE = 1u << 1, REFUSED = 1u << 0 }; // (I2SR, S)
// The interrupt itself is not used; without its enable bit, QEMU's model never sets DONE.
enum { ON = ENABLE | INTERRUPT };

enum { GPIO_DR = 0x00, GPIO_GDIR = 0x04, GPIO_PSR = 0x08 };
enum { GPIO_PDDR = 0x14, GPIO_PDIR = 0x10 }; // Kinetis: direction, input; PDOR as DR

// A byte takes 0.9 ms at 10 kHz; a device may stretch that. Another master's transfer of 32 bytes
// takes 3 ms at 100 kHz.
enum { LIMIT_US = 10000 };
enum { HALF_CLOCK_US = 5 }; // of 100 kHz, which every device follows

// Clocks for one of SCL, by the register's value (IFDR).
static const uint16_t imx_dividers[64] = {
    30,  32,  36,  42,  48,  52,  60,  72,  80,   88,   104,  128,  144,  160,  192,  240,
    288, 320, 384, 480, 576, 640, 768, 960, 1152, 1280, 1536, 1920, 2304, 2560, 3072, 3840,
    22,  24,  26,  28,  32,  36,  40,  44,  48,   56,   64,   72,   80,   96,   112,  128,
    160, 192, 224, 256, 320, 384, 448, 512, 640,  768,  896,  1024, 1280, 1536, 1792, 2048,
};
// Likewise with MULT 0 (F; table "I2C divider and hold values").
static const uint16_t kinetis_dividers[64] = {
    20,  22,  24,  26,   28,   30,   34,   40,   28,   32,   36,   40,   44,   48,   56,   68,
    48,  56,  64,  72,   80,   88,   104,  128,  80,   96,   112,  128,  144,  160,  192,  240,
    160, 192, 224, 256,  288,  320,  384,  480,  320,  384,  448,  512,  576,  640,  768,  960,
    640, 768, 896, 1024, 1152, 1280, 1536, 1920, 1280, 1536, 1792, 2048, 2304, 2560, 3072, 3840,
};

static uintptr_t at(const struct imx_i2c *i2c, unsigned reg) {
    return i2c->base + (i2c->kinetis ? reg : 4 * reg);
}

static unsigned get(const struct imx_i2c *i2c, unsigned reg) { return ek_read8(at(i2c, reg)); }

static void put(const struct imx_i2c *i2c, unsigned reg, unsigned value) {
    ek_write8(at(i2c, reg), (uint8_t)value);
}

// i.MX takes a zero for "clear", Kinetis a one.
static void clear_flags(const struct imx_i2c *i2c) {
    put(i2c, STATUS, i2c->kinetis ? LOST | DONE : 0);
}

// Wait until the bits `flags` of the status are `wanted`, or arbitration is lost. The status, or
// EK_EIO when it is lost, EK_ETIMEDOUT.
static int wait_for(const struct imx_i2c *i2c, unsigned flags, unsigned wanted) {
    for (uint64_t end_us = ek_clock_us() + LIMIT_US;;) {
        unsigned status = get(i2c, STATUS);
        if (status & LOST) {
            return EK_EIO;
        }
        if ((status & flags) == wanted) {
            return (int)status;
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

// The end of one byte on the wire.
static int wait_byte(const struct imx_i2c *i2c) {
    int status = wait_for(i2c, DONE, DONE);
    clear_flags(i2c);
    return status;
}

static int send(const struct imx_i2c *i2c, unsigned byte) {
    put(i2c, DATA, byte);
    int status = wait_byte(i2c);
    if (status == EK_ETIMEDOUT && get(i2c, STATUS) & REFUSED) {
        return EK_EIO; // QEMU's model leaves DONE off when nobody answers
    }
    return status >= 0 && status & (int)REFUSED ? EK_EIO : status;
}

static void delay(void) {
    for (uint64_t end_us = ek_clock_us() + HALF_CLOCK_US; ek_clock_us() < end_us;) {
    }
}

static uintptr_t direction(const struct imx_i2c *i2c) {
    return i2c->gpio + (i2c->kinetis ? GPIO_PDDR : GPIO_GDIR);
}

// Let a pin go, or pull it low: an open drain made of the direction.
static void drive(const struct imx_i2c *i2c, unsigned pin, bool low) {
    uint32_t directions = ek_read32(direction(i2c)) & ~(1u << pin);
    ek_write32(direction(i2c), directions | (uint32_t)low << pin);
    delay();
}

// Clock a device that holds SDA low through the rest of its byte, then STOP (UM10204, 3.1.16).
static void free_bus(const struct imx_i2c *i2c) {
    uint32_t sda = 1u << i2c->sda_pin, both = sda | 1u << i2c->scl_pin;
    uint32_t scl_mux = ek_read32(i2c->scl_mux), sda_mux = ek_read32(i2c->sda_mux);
    uintptr_t input = i2c->gpio + (i2c->kinetis ? GPIO_PDIR : GPIO_PSR);
    ek_write32(direction(i2c), ek_read32(direction(i2c)) & ~both);
    ek_write32(i2c->gpio + GPIO_DR, ek_read32(i2c->gpio + GPIO_DR) & ~both);
    ek_write32(i2c->scl_mux, i2c->gpio_function);
    ek_write32(i2c->sda_mux, i2c->gpio_function);
    bool held = !(ek_read32(input) & sda);
    for (unsigned i = 0; i < 9 && !(ek_read32(input) & sda); i++) {
        drive(i2c, i2c->scl_pin, true);
        drive(i2c, i2c->scl_pin, false);
    }
    drive(i2c, i2c->scl_pin, true);
    drive(i2c, i2c->sda_pin, true);
    drive(i2c, i2c->scl_pin, false);
    drive(i2c, i2c->sda_pin, false);
    ek_counters.bus_recoveries += held && ek_read32(input) & sda;
    ek_write32(i2c->scl_mux, scl_mux);
    ek_write32(i2c->sda_mux, sda_mux);
}

// Start afresh, so that the next transfer has a chance.
static void recover(const struct imx_i2c *i2c) {
    put(i2c, CONTROL, 0);
    if (i2c->gpio != 0) {
        free_bus(i2c);
    }
    put(i2c, CONTROL, ON);
    clear_flags(i2c);
}

static int init(const void *dev) {
    const struct imx_i2c *i2c = dev;
    ek_assert(i2c->base != 0);
    ek_assert(i2c->speed_hz != 0);
    // The smallest divider that is not too fast; the table is not in order.
    const uint16_t *dividers = i2c->kinetis ? kinetis_dividers : imx_dividers;
    uint32_t wanted = (i2c->clock_hz + i2c->speed_hz - 1) / i2c->speed_hz;
    unsigned best = 64;
    for (unsigned i = 0; i < 64; i++) {
        if (dividers[i] >= wanted && (best == 64 || dividers[i] < dividers[best])) {
            best = i;
        }
    }
    if (best == 64) {
        return EK_EINVAL;
    }
    put(i2c, CONTROL, 0);
    put(i2c, DIVIDER, best);
    put(i2c, CONTROL, ON);
    return EK_OK;
}

// START and the address; the bus is ours if this succeeds.
static int start(const struct imx_i2c *i2c) {
    clear_flags(i2c); // a lost arbitration of before
    int status = wait_for(i2c, BUSY, 0);
    if (status < 0) {
        recover(i2c);
        status = wait_for(i2c, BUSY, 0);
    }
    if (status >= 0) {
        put(i2c, CONTROL, ON | MASTER | SEND);
        status = wait_for(i2c, BUSY, BUSY);
    }
    if (status < 0) {
        put(i2c, CONTROL, ON);
    }
    return status;
}

static int receive(const struct imx_i2c *i2c, uint8_t *in, size_t len) {
    put(i2c, CONTROL, ON | MASTER | (len == 1 ? NO_ACK : 0));
    (void)get(i2c, DATA); // starts the first byte; what it gives is old
    for (size_t i = 0; i < len; i++) {
        int status = wait_byte(i2c);
        if (status < 0) {
            return status;
        }
        // Reading a byte starts the next one: before that, say what will follow it.
        if (i + 1 == len) {
            put(i2c, CONTROL, ON); // STOP
        } else if (i + 2 == len) {
            put(i2c, CONTROL, ON | MASTER | NO_ACK);
        }
        in[i] = (uint8_t)get(i2c, DATA);
    }
    return EK_OK;
}

static int transfer(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in,
                    size_t in_len) {
    const struct imx_i2c *i2c = dev;
    ek_assert(out_len + in_len != 0);
    ek_assert(addr < 128);
    int status = start(i2c);
    if (status < 0) {
        return status;
    }
    if (out_len != 0) {
        status = send(i2c, (unsigned)addr << 1);
    }
    for (size_t i = 0; i < out_len && status >= 0; i++) {
        status = send(i2c, out[i]);
    }
    if (in_len != 0 && status >= 0) {
        if (out_len != 0) {
            put(i2c, CONTROL, ON | MASTER | SEND | RESTART);
        }
        status = send(i2c, (unsigned)addr << 1 | 1);
        if (status >= 0) {
            status = receive(i2c, in, in_len);
        }
    }
    put(i2c, CONTROL, ON); // STOP, where the bus is still ours
    if (status == EK_ETIMEDOUT || (wait_for(i2c, BUSY, 0) < 0 && status >= 0)) {
        recover(i2c);
        status = EK_ETIMEDOUT;
    }
    return status < 0 ? status : EK_OK;
}

const struct ek_i2c_ops imx_i2c_ops = {.init = init, .transfer = transfer};
