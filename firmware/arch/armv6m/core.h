// core.h: registers of the Armv6-M system space, and the symbols of link.ld.in. The numbers in
// parentheses are sections of Arm DDI 0419E (Armv6-M Architecture Reference Manual).
#ifndef ARMV6M_CORE_H
#define ARMV6M_CORE_H
#include "arch/thumb/thumb.h"
#include <stdint.h>

#define NVIC_ISER 0xE000E100u // interrupt set-enable (B3.4)
#define NVIC_ICER 0xE000E180u // interrupt clear-enable
#define NVIC_ICPR 0xE000E280u // interrupt clear-pending
#define SCB_AIRCR 0xE000ED0Cu // application interrupt and reset control (B3.2)

extern uint32_t __data_start[], __data_end[], __data_load[];
extern uint32_t __bss_start[], __bss_end[];
extern const uint8_t __config_start[], __config_end[];

void armv6m_fault(void); // every exception
#endif
