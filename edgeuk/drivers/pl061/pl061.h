// pl061.h: instance data of the PL061 driver, filled in by devices.c.
#ifndef EK_PL061_H
#define EK_PL061_H
#include "ek/gpio.h"

struct pl061 {
    uintptr_t base;
    uint8_t pins;
    uint8_t reserved; // bit = pin: used by other devices of the board, refused
    bool pads;        // has the pad registers of Stellaris LM3S chips
    uint32_t gate;    // address of the register with its clock gate, or 0
    uint32_t gate_bits;
};
extern const struct ek_gpio_ops pl061_ops;
#endif
