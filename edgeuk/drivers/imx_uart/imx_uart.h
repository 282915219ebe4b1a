// imx_uart.h: instance data of the i.MX UART driver, filled in by the generated devices.c.
#ifndef EK_IMX_UART_H
#define EK_IMX_UART_H
#include "ek/uart.h"

struct imx_uart {
    uintptr_t base;    // first register, physical address
    uint32_t clock_hz; // module clock
    uint32_t baud;     // bits per second
};
extern const struct ek_uart_ops imx_uart_ops;
#endif
