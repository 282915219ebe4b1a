// host_console.h: standard output as a console.
#ifndef HOST_CONSOLE_H
#define HOST_CONSOLE_H
#include "ek/uart.h"

struct host_console {
    char unused; // C has no empty struct
};
extern const struct ek_uart_ops host_console_ops;
#endif
