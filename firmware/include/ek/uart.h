// ek/uart.h: what every UART driver provides.
#ifndef EK_UART_H
#define EK_UART_H
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

struct ek_uart_ops {
    // Program line settings and enable the device. EK_OK, or EK_EINVAL if the baud rate is out of
    // reach.
    int (*init)(const void *dev);
    // Send len bytes; returns len, or EK_ETIMEDOUT with the device still usable.
    int (*write)(const void *dev, const uint8_t *data, size_t len);
    // Take what has arrived, at most len bytes; returns the count (0: none). Never waits.
    int (*read)(const void *dev, uint8_t *data, size_t len);
};

struct ek_uart {
    const struct ek_uart_ops *ops;
    const void *dev;
};
#endif
