// nrf51_wdt.h: instance data of the nRF51 watchdog driver, filled in by devices.c.
#ifndef EK_NRF51_WDT_H
#define EK_NRF51_WDT_H
#include "ek/watchdog.h"

struct nrf51_wdt {
    uintptr_t base;
    uintptr_t power; // POWER: why the chip was reset
};
extern const struct ek_watchdog_ops nrf51_wdt_ops;
#endif
