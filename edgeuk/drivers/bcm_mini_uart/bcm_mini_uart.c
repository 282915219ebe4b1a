// bcm_mini_uart.c: the mini UART of Raspberry Pi's chips. Polled, 8N1; what is
// received raises the interrupt, so that it wakes the processor: a board gives
// `irq` to one that somebody reads. Document: BCM2711 ARM Peripherals, chapter
// 2; names in parentheses are its registers. Left to the board: pins, and a
// core clock that does not change. Left out: flow control.
#include "bcm_mini_uart.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/mmio.h"
#include <stdbool.h>

// Register offsets in bytes, then the bits used.
enum { ENABLES = 0x04, IO = 0x40, IER = 0x44, IIR = 0x48, LCR = 0x4c, MCR = 0x50, LSR = 0x54 };
enum { CNTL = 0x60, BAUD = 0x68 };
enum { ENABLE_UART = 1u << 0 };
// Bit 0 is the receiver's; without bits 2 and 3 none comes (AUX_MU_IER_REG).
enum { IER_RECEIVE = 1u << 0, IER_BOTH = 3u << 2 };
enum { IIR_CLEAR = 3u << 1 };  // both FIFOs
enum { LCR_8_BITS = 3u << 0 }; // bit 1 too: the first manual has it wrong (BCM2835 errata)
enum { LSR_DATA = 1u << 0, LSR_ROOM = 1u << 5, LSR_IDLE = 1u << 6 };
enum { CNTL_RX = 1u << 0, CNTL_TX = 1u << 1 };
enum { BAUD_MAX = 0xffff };

// Eight characters of 10 bits leave in 0.27 s at 300 baud.
enum { LIMIT_US = 300000 };

static int wait_set(const struct bcm_mini_uart *uart, uint32_t flag) {
    for (uint64_t end_us = ek_clock_us() + LIMIT_US;;) {
        bool late = ek_clock_us() >= end_us;
        if (ek_read32(uart->base + LSR) & flag) {
            return EK_OK;
        }
        if (late) {
            return EK_ETIMEDOUT;
        }
    }
}

static int init(const void *dev) {
    const struct bcm_mini_uart *uart = dev;
    ek_assert(uart->base != 0);
    ek_assert(uart->baud != 0);
    // baud = clock / (8 * (BAUD + 1)), rounded (2.2.1).
    uint32_t divisor = (uart->clock_hz / 4 / uart->baud + 1) / 2;
    if (divisor == 0 || divisor - 1 > BAUD_MAX) {
        return EK_EINVAL;
    }
    // Without this the other registers are not there; SPI1 and SPI2 share it
    // (AUX_ENABLES).
    uint32_t enables = ek_read32(uart->base + ENABLES);
    ek_write32(uart->base + ENABLES, enables | ENABLE_UART);
    if (enables & ENABLE_UART) {
        (void)wait_set(uart, LSR_IDLE); // an earlier owner's last words
    }
    ek_write32(uart->base + CNTL, 0);
    ek_write32(uart->base + IER, 0);
    ek_write32(uart->base + LCR, LCR_8_BITS);
    ek_write32(uart->base + MCR, 0);
    ek_write32(uart->base + BAUD, divisor - 1);
    ek_write32(uart->base + IIR, IIR_CLEAR);
    ek_write32(uart->base + IER, IER_RECEIVE | IER_BOTH);
    ek_write32(uart->base + CNTL, CNTL_RX | CNTL_TX);
    return EK_OK;
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct bcm_mini_uart *uart = dev;
    for (size_t i = 0; i < len; i++) {
        if (wait_set(uart, LSR_ROOM) < 0) {
            return EK_ETIMEDOUT;
        }
        ek_write32(uart->base + IO, data[i]);
    }
    return (int)len;
}

// It tells of overruns only, which cost later characters.
static int read(const void *dev, uint8_t *data, size_t len) {
    const struct bcm_mini_uart *uart = dev;
    size_t count = 0;
    while (count < len && ek_read32(uart->base + LSR) & LSR_DATA) {
        data[count++] = (uint8_t)ek_read32(uart->base + IO);
    }
    return (int)count;
}

const struct ek_uart_ops bcm_mini_uart_ops = {.init = init, .write = write, .read = read};
