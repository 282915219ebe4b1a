// sbcon_i2c.h: instance data of the SBCon I2C driver, filled in by devices.c.
#ifndef EK_SBCON_I2C_H
#define EK_SBCON_I2C_H
#include "ek/i2c.h"

struct sbcon_i2c {
    uintptr_t base;
    uint32_t speed_hz; // of SCL; what is really reached is never faster
};
extern const struct ek_i2c_ops sbcon_i2c_ops;
#endif
