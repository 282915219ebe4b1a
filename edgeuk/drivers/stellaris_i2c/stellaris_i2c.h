// stellaris_i2c.h: instance data of the LM3S I2C master driver, filled in by devices.c.
#ifndef EK_STELLARIS_I2C_H
#define EK_STELLARIS_I2C_H
#include "ek/i2c.h"

struct stellaris_i2c {
    uintptr_t base;
    uint32_t clock_hz; // system clock
    uint32_t speed_hz; // of SCL: 100 kHz or 400 kHz; what is really reached is never faster
    uintptr_t gpio;    // port of both pins, or 0
    uint8_t scl_pin, sda_pin;
};
extern const struct ek_i2c_ops stellaris_i2c_ops;
#endif
