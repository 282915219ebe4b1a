// cmsdk_uart.c: the APB UART of Arm's Cortex-M System Design Kit. Polled, 8N1: it knows no other
// format, and has room for one character each way.
// Document: Arm DDI 0479, 4.3 APB UART; names in parentheses are its registers.
// Left out: interrupts. Left to the board: pins.
#include "cmsdk_uart.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { DATA = 0x00, STATE = 0x04, CTRL = 0x08, INTCLEAR = 0x0c, BAUDDIV = 0x10 };
enum { TX_FULL = 1u << 0, RX_FULL = 1u << 1, RX_OVERRUN = 1u << 3 }; // (STATE)
enum { TX_ENABLE = 1u << 0, RX_ENABLE = 1u << 1 };                   // (CTRL)
enum { INTERRUPTS = 15u };
enum { DIVISOR_MIN = 16, DIVISOR_MAX = (1 << 20) - 1 }; // (BAUDDIV)

// The buffer is free within one character: 10 bits, 34 ms at 300 baud. A poll takes over 40 ns.
enum { POLLS_MAX = 1000000 };

static int init(const void *dev) {
    const struct cmsdk_uart *uart = dev;
    ek_assert(uart->base != 0);
    ek_assert(uart->baud != 0);
    uint32_t divisor = (uart->clock_hz + uart->baud / 2) / uart->baud;
    if (divisor < DIVISOR_MIN || divisor > DIVISOR_MAX) {
        return EK_EINVAL;
    }
    ek_write32(uart->base + CTRL, 0);
    ek_write32(uart->base + BAUDDIV, divisor);
    ek_write32(uart->base + STATE, RX_OVERRUN); // of an earlier owner
    ek_write32(uart->base + INTCLEAR, INTERRUPTS);
    ek_write32(uart->base + CTRL, TX_ENABLE | RX_ENABLE);
    return EK_OK;
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct cmsdk_uart *uart = dev;
    for (size_t i = 0; i < len; i++) {
        uint32_t polls = 0;
        while (ek_read32(uart->base + STATE) & TX_FULL) {
            if (++polls == POLLS_MAX) {
                return EK_ETIMEDOUT;
            }
        }
        ek_write32(uart->base + DATA, data[i]);
    }
    return (int)len;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct cmsdk_uart *uart = dev;
    size_t count = 0;
    while (count < len && ek_read32(uart->base + STATE) & RX_FULL) {
        data[count++] = (uint8_t)ek_read32(uart->base + DATA);
    }
    return (int)count;
}

const struct ek_uart_ops cmsdk_uart_ops = {.init = init, .write = write, .read = read};
