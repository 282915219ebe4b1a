// app/actuators/actuators.h: the table that the SDK generates (pipeline.c) of a gateway's
// actuators.
#ifndef APP_ACTUATORS_ACTUATORS_H
#define APP_ACTUATORS_ACTUATORS_H
#include <stdbool.h>
#include <stdint.h>
#include "config.h"
#include "ek/actuator.h"

enum actuator_without_broker { ACTUATOR_KEEP, ACTUATOR_OFF, ACTUATOR_ON };

struct actuator {
    const struct ek_actuator_ops *ops;
    const void *dev;
    uint16_t channel; // which has its name, and takes its state: 0 or 1
    uint32_t hold_ms; // without a broker, before without_broker applies
    bool initial;
    enum actuator_without_broker without_broker;
    bool obey_retained; // commands that the broker kept, too
};
#ifdef EK_ACTUATORS // config.h: how many
extern const struct actuator actuators[EK_ACTUATORS];
#endif
#endif
