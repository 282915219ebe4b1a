// nrf51_uart.h: instance data of the nRF51 UART driver, filled in by devices.c.
#ifndef EK_NRF51_UART_H
#define EK_NRF51_UART_H
#include "ek/uart.h"

struct nrf51_uart {
    uintptr_t base;
    uintptr_t gpio; // the port whose pins it takes
    uint32_t baud;  // bits per second
    uint8_t tx, rx; // pins
};
extern const struct ek_uart_ops nrf51_uart_ops;
#endif
