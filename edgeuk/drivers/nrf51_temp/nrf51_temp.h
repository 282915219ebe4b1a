// nrf51_temp.h: instance data of the nRF51 temperature driver, filled in by pipeline.c.
#ifndef EK_NRF51_TEMP_H
#define EK_NRF51_TEMP_H
#include "ek/sensor.h"
#include <stdint.h>

struct nrf51_temp {
    uint16_t channel;
    uintptr_t base;
};
extern const struct ek_sensor_ops nrf51_temp_ops;

// Temperature in 0.01 degrees Celsius of what the register holds.
int32_t nrf51_temp_decode(uint32_t raw);
#endif
