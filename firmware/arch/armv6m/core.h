// core.h: registers of the Armv6-M system space, and the symbols of link.ld.in. The numbers in
// parentheses are sections of Arm DDI 0419E (Armv6-M Architecture Reference Manual).
#ifndef ARMV6M_CORE_H
#define ARMV6M_CORE_H
#include "arch/cortex_m/cortex_m.h"
#include <stdint.h>

#define NVIC_ISER 0xE000E100u // interrupt set-enable (B3.4)
#define NVIC_ICER 0xE000E180u // interrupt clear-enable
#define NVIC_ICPR 0xE000E280u // interrupt clear-pending

void armv6m_fault(void); // every exception
#endif
