// host_power.h: the end of the process.
#ifndef HOST_POWER_H
#define HOST_POWER_H
#include "ek/power.h"

struct host_power {
    char unused; // C has no empty struct
};
extern const struct ek_power_ops host_power_ops;
#endif
