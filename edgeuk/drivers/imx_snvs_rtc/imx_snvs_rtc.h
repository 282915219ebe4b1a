// imx_snvs_rtc.h: instance data of the SNVS clock driver, filled in by the generated devices.c.
#ifndef EK_IMX_SNVS_RTC_H
#define EK_IMX_SNVS_RTC_H
#include "ek/rtc.h"

struct imx_snvs_rtc {
    uintptr_t base; // of the SNVS
};
extern const struct ek_rtc_ops imx_snvs_rtc_ops;
#endif
