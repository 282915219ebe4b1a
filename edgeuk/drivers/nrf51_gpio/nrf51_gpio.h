// nrf51_gpio.h: instance data of the nRF51 GPIO driver, filled in by devices.c.
#ifndef EK_NRF51_GPIO_H
#define EK_NRF51_GPIO_H
#include "ek/gpio.h"

struct nrf51_gpio_state {
    uint32_t inputs; // pins that are watched
    uint32_t levels; // theirs, as they were seen last
};

struct nrf51_gpio {
    uintptr_t base;
    uintptr_t gpiote; // its PORT event wakes the processor
    uint8_t pins;
    uint32_t reserved; // bit = pin: those that others use
    struct nrf51_gpio_state *state;
};
extern const struct ek_gpio_ops nrf51_gpio_ops;
#endif
