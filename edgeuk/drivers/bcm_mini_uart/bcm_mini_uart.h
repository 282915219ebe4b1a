// bcm_mini_uart.h: Broadcom's mini UART.
#ifndef BCM_MINI_UART_H
#define BCM_MINI_UART_H
#include "ek/uart.h"
#include <stdint.h>

struct bcm_mini_uart {
    uintptr_t base;    // of the AUX block
    uint32_t clock_hz; // core clock
    uint32_t baud;
};
extern const struct ek_uart_ops bcm_mini_uart_ops;
#endif
