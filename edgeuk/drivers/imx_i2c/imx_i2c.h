// imx_i2c.h: instance data of the i.MX and Kinetis I2C driver, filled in by devices.c.
#ifndef EK_IMX_I2C_H
#define EK_IMX_I2C_H
#include <stdbool.h>
#include "ek/i2c.h"

struct imx_i2c {
    uintptr_t base;
    uint32_t clock_hz; // module clock
    uint32_t speed_hz; // of SCL; what is really reached is never faster
    bool kinetis;
    uintptr_t gpio; // port of both pins, or 0
    uint8_t scl_pin, sda_pin;
    uintptr_t scl_mux, sda_mux;
    uint16_t gpio_function;
};
extern const struct ek_i2c_ops imx_i2c_ops;
#endif
