// kinetis_uart.h: instance data of the Kinetis UART driver, filled in by devices.c.
#ifndef EK_KINETIS_UART_H
#define EK_KINETIS_UART_H
#include "ek/uart.h"

struct kinetis_uart {
    uintptr_t base;    // first register, physical address
    uint32_t clock_hz; // module clock
    uint32_t baud;     // bits per second
};
extern const struct ek_uart_ops kinetis_uart_ops;
#endif
