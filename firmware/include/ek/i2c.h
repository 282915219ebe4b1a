// ek/i2c.h: what every I2C controller driver provides. 7-bit addresses, blocking, bounded.
#ifndef EK_I2C_H
#define EK_I2C_H
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

struct ek_i2c_ops {
    // Enable the controller at its bus speed. EK_OK, EK_EINVAL (speed out of reach).
    int (*init)(const void *dev);
    // Write `out_len` bytes, then, after a repeated start, read `in_len` bytes; either may be 0,
    // not both. EK_OK; EK_EIO (no acknowledge), EK_ETIMEDOUT (bus held), both with the bus
    // released for the next transfer.
    int (*transfer)(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in,
                    size_t in_len);
};

struct ek_i2c {
    const struct ek_i2c_ops *ops;
    const void *dev;
};
#endif
