// uart16550.h: 16550A UART at I/O ports.
#ifndef UART16550_H
#define UART16550_H
#include <stdint.h>
#include "ek/uart.h"

struct uart16550 {
    uint16_t port; // of the first of eight registers
    uint32_t clock_hz;
    uint32_t baud;
};

extern const struct ek_uart_ops uart16550_ops;
#endif
