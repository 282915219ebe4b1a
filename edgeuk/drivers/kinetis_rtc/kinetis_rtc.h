// kinetis_rtc.h: instance data of the Kinetis RTC driver, filled in by devices.c.
#ifndef EK_KINETIS_RTC_H
#define EK_KINETIS_RTC_H
#include "ek/rtc.h"

struct kinetis_rtc {
    uintptr_t base;  // first register, physical address
    uint8_t load_pf; // 0, 2, 4, ... 30
};
extern const struct ek_rtc_ops kinetis_rtc_ops;
#endif
