// ek/actuator.h: what every actuator driver provides: something that is switched on and off.
#ifndef EK_ACTUATOR_H
#define EK_ACTUATOR_H
#include <stdbool.h>
#include "ek/status.h"

struct ek_actuator_ops {
    // Take the device over, switched on or off. EK_OK; EK_EINVAL, EK_ENOENT, EK_EIO: it is tried
    // again with the next command.
    int (*init)(const void *dev, bool on);
    // Switch it; only after init() succeeded. EK_OK, or why it is not switched.
    int (*set)(const void *dev, bool on);
};
#endif
