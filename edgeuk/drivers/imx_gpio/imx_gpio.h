// imx_gpio.h: instance data of the i.MX GPIO driver, filled in by devices.c.
#ifndef EK_IMX_GPIO_H
#define EK_IMX_GPIO_H
#include "ek/gpio.h"

struct imx_gpio {
    uintptr_t base;
    uint8_t pins;
    uint32_t reserved;        // bit = pin: used by other devices of the board, refused
    uint32_t gate, gate_bits; // register of the clock gate, or 0
    uint32_t mux,
        pad;          // registers of pin 0, those of the other pins behind them; or 0
    uint8_t function; // of the multiplexer: this port
    uint32_t pad_float, pad_down, pad_up, pad_output;
};
extern const struct ek_gpio_ops imx_gpio_ops;
#endif
