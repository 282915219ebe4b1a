// ek/counters.h: what goes wrong below the interfaces and is repaired there, so that nobody above
// would notice. Sent with the statistics.
#ifndef EK_COUNTERS_H
#define EK_COUNTERS_H
#include <stdint.h>

struct ek_counters {
    uint32_t bus_recoveries;  // an I2C bus that was held low and has been clocked free
    uint32_t device_restarts; // a device that had stopped and was initialised again
    uint32_t device_errors;   // errors that a device reported: overruns, bad frames, lost bytes
};
extern struct ek_counters ek_counters;
#endif
