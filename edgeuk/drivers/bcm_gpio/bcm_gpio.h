// bcm_gpio.h: instance data of the BCM2711 GPIO driver, filled in by the generated devices.c.
#ifndef EK_BCM_GPIO_H
#define EK_BCM_GPIO_H
#include "ek/gpio.h"

struct bcm_gpio {
    uintptr_t base;    // of all banks
    uint8_t bank;      // 0: GPIO 0 to 31, 1: GPIO 32 to 57
    uint8_t pins;      // of the bank, from the first
    uint32_t reserved; // pins of others
};
extern const struct ek_gpio_ops bcm_gpio_ops;
#endif
