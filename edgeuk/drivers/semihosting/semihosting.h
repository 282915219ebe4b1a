// semihosting.h: instance data of the semihosting driver, filled in by the generated devices.c.
#ifndef EK_SEMIHOSTING_DRIVER_H
#define EK_SEMIHOSTING_DRIVER_H
#include "ek/power.h"

struct semihosting {
    char none; // nothing differs between boards; C wants a member
};
extern const struct ek_power_ops semihosting_ops;
#endif
