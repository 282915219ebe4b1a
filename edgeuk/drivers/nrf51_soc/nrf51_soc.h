// nrf51_soc.h: instance data of the nRF51 clock driver, filled in by devices.c.
#ifndef EK_NRF51_SOC_H
#define EK_NRF51_SOC_H
#include "ek/soc.h"

struct nrf51_soc_state {
    uint32_t low, high; // of the time in microseconds, as it was read last
};

struct nrf51_soc {
    uintptr_t clock; // CLOCK
    uintptr_t timer; // TIMER0, the only one of 32 bits; its interrupt must be
                     // listed as this device's
    struct nrf51_soc_state *state;
};
extern const struct ek_soc_ops nrf51_soc_ops;
#endif
