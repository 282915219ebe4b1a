// bcm_i2c.c: the Broadcom Serial Controller (BSC), an I2C master, of a BCM2711. Polled.
// Documents: BCM2711 ARM Peripherals, chapters 3 and 5; NXP UM10204 (the bus). Names in parentheses
// are registers.
// Left to the board's soc driver: the pins' function. Left out: 10-bit addresses; a cure for the
// controller's clock stretching: a device that stretches by less than a clock gets a short one.
#include "bcm_i2c.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

enum {
    C = 0x00,
    S = 0x04,
    DLEN = 0x08,
    A = 0x0c,
    FIFO = 0x10,
    DIV = 0x14,
    DEL = 0x18,
    CLKT = 0x1c
};
enum { ENABLE = 1u << 15, START = 1u << 7, CLEAR = 1u << 4, READ = 1u << 0 };        // (C)
enum { TIMEOUT = 1u << 9, REFUSED = 1u << 8, RX_DATA = 1u << 5, TX_ROOM = 1u << 4 }; // (S)
enum { DONE = 1u << 1, ACTIVE = 1u << 0 };
enum { FLAGS = TIMEOUT | REFUSED | DONE }; // ones clear
enum { DIV_MAX = 0xfffe, LEN_MAX = 0xffff };

enum { GPFSEL = 0x00, GPSET0 = 0x1c, GPCLR0 = 0x28, GPLEV0 = 0x34 };
enum { INPUT = 0, OUTPUT = 1 }; // (GPFSEL)

enum { STRETCH_PER_S = 100 }; // a device may hold SCL for 10 ms
// 16 bytes of FIFO take 15 ms at 10 kHz; a device may stretch one of them.
enum { LIMIT_US = 40000 };
enum { STOP_US = 500 };     // a STOP that is under way has let SDA go by then, at 10 kHz too
enum { HALF_CLOCK_US = 5 }; // of 100 kHz, which every device follows

static uint32_t get(const struct bcm_i2c *i2c, uint32_t reg) { return ek_read32(i2c->base + reg); }

static void put(const struct bcm_i2c *i2c, uint32_t reg, uint32_t value) {
    ek_write32(i2c->base + reg, value);
}

// Wait for one of `flags`; EK_OK, EK_EIO (nobody acknowledged), EK_ETIMEDOUT.
static int wait_for(const struct bcm_i2c *i2c, uint32_t flags) {
    for (uint64_t end_us = ek_clock_us() + LIMIT_US;;) {
        uint32_t status = get(i2c, S);
        if (status & TIMEOUT) {
            return EK_ETIMEDOUT;
        }
        if (status & REFUSED) {
            return EK_EIO;
        }
        if (status & flags) {
            return EK_OK;
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

static bool sda_low(const struct bcm_i2c *i2c) {
    return !(ek_read32(i2c->gpio + GPLEV0) >> i2c->sda_pin & 1); // seen in every function (GPLEV)
}

static bool held(const struct bcm_i2c *i2c, uint32_t for_us) {
    for (uint64_t end_us = ek_clock_us() + for_us; sda_low(i2c);) {
        if (ek_clock_us() >= end_us) {
            return true;
        }
    }
    return false;
}

// Give a pin a function; the one that it had.
static unsigned set_function(const struct bcm_i2c *i2c, unsigned pin, unsigned function) {
    uintptr_t addr = i2c->gpio + GPFSEL + 4 * (pin / 10);
    unsigned shift = pin % 10 * 3;
    uint32_t all = ek_read32(addr);
    ek_write32(addr, (all & ~(7u << shift)) | function << shift);
    return all >> shift & 7;
}

// Let a pin go, or pull it low: an open drain made of the direction.
static void drive(const struct bcm_i2c *i2c, unsigned pin, bool low) {
    (void)set_function(i2c, pin, low ? OUTPUT : INPUT);
    for (uint64_t end_us = ek_clock_us() + HALF_CLOCK_US; ek_clock_us() < end_us;) {
    }
}

// The latches of both pins, which only count while a pin is an output. QEMU's levels are the
// latches', so they stay high, as an idle bus is.
static void set_latches(const struct bcm_i2c *i2c, bool high) {
    ek_write32(i2c->gpio + (high ? GPSET0 : GPCLR0), 1u << i2c->scl_pin | 1u << i2c->sda_pin);
}

// Clock a device that holds SDA low through the rest of its byte, then STOP (UM10204, 3.1.16).
static int free_bus(const struct bcm_i2c *i2c) {
    unsigned scl = set_function(i2c, i2c->scl_pin, INPUT);
    unsigned sda = set_function(i2c, i2c->sda_pin, INPUT);
    set_latches(i2c, false);
    for (unsigned i = 0; i < 9 && sda_low(i2c); i++) {
        drive(i2c, i2c->scl_pin, true);
        drive(i2c, i2c->scl_pin, false);
    }
    drive(i2c, i2c->scl_pin, true);
    drive(i2c, i2c->sda_pin, true);
    drive(i2c, i2c->scl_pin, false);
    drive(i2c, i2c->sda_pin, false);
    bool freed = !sda_low(i2c);
    set_latches(i2c, true);
    (void)set_function(i2c, i2c->scl_pin, scl);
    (void)set_function(i2c, i2c->sda_pin, sda);
    ek_counters.bus_recoveries += freed;
    return freed ? EK_OK : EK_ETIMEDOUT;
}

static int init(const void *dev) {
    const struct bcm_i2c *i2c = dev;
    ek_assert(i2c->base != 0);
    ek_assert(i2c->speed_hz != 0);
    uint32_t divider = (i2c->clock_hz + i2c->speed_hz - 1) / i2c->speed_hz;
    divider += divider & 1; // the lowest bit counts for nothing (DIV)
    if (divider < 2 || divider > DIV_MAX) {
        return EK_EINVAL;
    }
    put(i2c, C, CLEAR);
    put(i2c, S, FLAGS);
    put(i2c, DIV, divider);
    // Change SDA 1/16 clock after SCL fell, sample it 1/4 after it rose, as Linux does (DEL); both
    // must be below half of DIV.
    put(i2c, DEL, (divider / 16 + 1) << 16 | (divider / 4 + 1));
    put(i2c, CLKT, i2c->speed_hz / STRETCH_PER_S); // in clocks of SCL
    if (i2c->gpio != 0) {
        set_latches(i2c, true);
    }
    return EK_OK;
}

// Bytes go into the FIFO after START: filled before, it keeps the controller from a repeated start,
// and QEMU's model, which has none, loses them.
static int send(const struct bcm_i2c *i2c, const uint8_t *out, size_t len) {
    put(i2c, DLEN, (uint32_t)len);
    put(i2c, C, ENABLE | START);
    int status = wait_for(i2c, ACTIVE | DONE);
    for (size_t i = 0; i < len && status == EK_OK; i++) {
        status = wait_for(i2c, TX_ROOM);
        if (status == EK_OK) {
            put(i2c, FIFO, out[i]);
        }
    }
    return status;
}

// Asked for while bytes are still on their way out, it begins with a repeated start ("10 Bit
// Addressing"): the address of the one before takes 20 us at least. QEMU's model is done with the
// bytes by now, has sent a STOP and said so, which must not be taken for the end of this.
static int receive(const struct bcm_i2c *i2c, uint8_t *in, size_t len) {
    put(i2c, S, DONE);
    put(i2c, DLEN, (uint32_t)len);
    put(i2c, C, ENABLE | START | READ);
    for (size_t i = 0; i < len; i++) {
        int status = wait_for(i2c, RX_DATA | DONE);
        if (status < 0) {
            return status;
        }
        if (!(get(i2c, S) & RX_DATA)) {
            return EK_EIO; // over too early
        }
        in[i] = (uint8_t)get(i2c, FIFO);
    }
    return EK_OK;
}

static int transfer(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in,
                    size_t in_len) {
    const struct bcm_i2c *i2c = dev;
    ek_assert(out_len + in_len != 0);
    ek_assert(out_len <= LEN_MAX);
    ek_assert(in_len <= LEN_MAX);
    ek_assert(addr < 128);
    // The controller itself takes a bus that is held low for one where everybody acknowledges.
    if (i2c->gpio != 0 && held(i2c, STOP_US) && free_bus(i2c) < 0) {
        return EK_ETIMEDOUT;
    }
    put(i2c, A, addr);
    int status = out_len != 0 ? send(i2c, out, out_len) : EK_OK;
    if (status == EK_OK && in_len != 0) {
        status = receive(i2c, in, in_len);
    }
    if (status == EK_OK) {
        status = wait_for(i2c, DONE);
    }
    put(i2c, C, CLEAR); // also ends what failed, with a STOP
    put(i2c, S, FLAGS);
    return status;
}

const struct ek_i2c_ops bcm_i2c_ops = {.init = init, .transfer = transfer};
