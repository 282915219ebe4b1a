// cmsdk_uart.h: instance data of the CMSDK UART driver, filled in by devices.c.
#ifndef EK_CMSDK_UART_H
#define EK_CMSDK_UART_H
#include "ek/uart.h"

struct cmsdk_uart {
    uintptr_t base;    // first register, physical address
    uint32_t clock_hz; // PCLK
    uint32_t baud;     // bits per second
};
extern const struct ek_uart_ops cmsdk_uart_ops;
#endif
