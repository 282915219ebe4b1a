// core.h: registers of the Armv7-M system space, and the symbols of link.ld.in. The numbers in
// parentheses are sections of Arm DDI 0403E (Armv7-M Architecture Reference Manual).
#ifndef ARMV7M_CORE_H
#define ARMV7M_CORE_H
#include <stdint.h>
#include "arch/cortex_m/cortex_m.h"

#define SYST_CSR 0xE000E010u  // SysTick control and status (B3.3)
#define SYST_RVR 0xE000E014u  // reload value, 24 bits
#define SYST_CVR 0xE000E018u  // current value
#define NVIC_ISER 0xE000E100u // interrupt set-enable, 32 lines a register (B3.4)
#define NVIC_ICER 0xE000E180u // interrupt clear-enable
#define SCB_ICSR 0xE000ED04u  // interrupt control and state (B3.2)
#define SCB_VTOR 0xE000ED08u  // vector table offset
#define SCB_CCR 0xE000ED14u   // configuration and control
#define SCB_CFSR 0xE000ED28u  // configurable fault status
#define SCB_HFSR 0xE000ED2Cu  // hard fault status
#define SCB_MMFAR 0xE000ED34u // memory management fault address
#define SCB_BFAR 0xE000ED38u  // bus fault address
#define MPU_CTRL 0xE000ED94u  // (B3.5)
#define MPU_RBAR 0xE000ED9Cu  // region base address
#define MPU_RASR 0xE000EDA0u  // region attribute and size

extern const uint32_t __mpu_regions[], __mpu_regions_end[];

// Exception handlers, for the vector table.
void armv7m_fault(void);
void armv7m_tick(void);
void armv7m_wake(void);
#endif
