// mc146818.h: instance data of the PC clock driver, filled in by the generated devices.c.
#ifndef EK_MC146818_H
#define EK_MC146818_H
#include "ek/rtc.h"

struct mc146818 {
    uint16_t port;   // of the index; the data is one further
    uint8_t century; // register that holds the century, which the board's makers chose
};
extern const struct ek_rtc_ops mc146818_ops;
#endif
