// kinetis_gpio.h: instance data of the Kinetis GPIO driver, filled in by devices.c.
#ifndef EK_KINETIS_GPIO_H
#define EK_KINETIS_GPIO_H
#include "ek/gpio.h"

struct kinetis_gpio {
    uintptr_t base; // GPIOx
    uintptr_t port; // PORTx
    uint8_t pins;
    uint32_t reserved; // bit = pin: those that others use
};
extern const struct ek_gpio_ops kinetis_gpio_ops;
#endif
