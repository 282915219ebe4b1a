// bcm_i2c.h: instance data of the BCM2711 I2C driver, filled in by the generated devices.c.
#ifndef EK_BCM_I2C_H
#define EK_BCM_I2C_H
#include "ek/i2c.h"

struct bcm_i2c {
    uintptr_t base;
    uint32_t clock_hz; // core clock
    uint32_t speed_hz; // of SCL
    uintptr_t gpio;    // or 0
    uint8_t scl_pin;
    uint8_t sda_pin;
};
extern const struct ek_i2c_ops bcm_i2c_ops;
#endif
