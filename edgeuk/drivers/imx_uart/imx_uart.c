// imx_uart.c: the UART of i.MX chips. Polled, 8N1, no flow control; no interrupts, no DMA.
// Document: NXP IMX6ULRM, chapter UART; names in parentheses are its registers.
// Left to the board's soc driver: clock gate and pins.
#include "imx_uart.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { URXD = 0x00, UTXD = 0x40, UCR1 = 0x80, UCR2 = 0x84, UCR3 = 0x88, UCR4 = 0x8c };
enum { UFCR = 0x90, USR2 = 0x98, UBIR = 0xa4, UBMR = 0xa8, UTS = 0xb4 };
enum { URXD_ERR = 1u << 14, URXD_CHARRDY = 1u << 15 };
enum { UCR1_UARTEN = 1u << 0 };
enum { UCR2_SRST = 1u << 0, UCR2_RXEN = 1u << 1, UCR2_TXEN = 1u << 2, UCR2_WS = 1u << 5 };
enum { UCR2_IRTS = 1u << 14 };
enum { UCR3_RXDMUXSEL = 1u << 2 }; // "must be set" (UCR3)
enum { UFCR_DIVIDE_BY_1 = 5u << 7, UFCR_LEVELS = 2u << 10 | 1u };
enum { USR2_RDR = 1u << 0, USR2_TXDC = 1u << 3 };
enum { UTS_SOFTRST = 1u << 0, UTS_TXFULL = 1u << 4 };

// The FIFO holds 32 characters of 10 bits: 1.1 s at 300 baud.
enum { LIMIT_US = 1200000 };

// EK_OK once the bits of `flags` in the register `reg` are `wanted`, else EK_ETIMEDOUT.
static int wait_for(const struct imx_uart *uart, uintptr_t reg, uint32_t flags, uint32_t wanted) {
    if ((ek_read32(uart->base + reg) & flags) == wanted) {
        return EK_OK;
    }
    for (uint64_t end_us = ek_clock_us() + LIMIT_US; ek_clock_us() < end_us;) {
        if ((ek_read32(uart->base + reg) & flags) == wanted) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

// baud = clock / 16 * (UBIR + 1) / (UBMR + 1): the exact ratio where it fits 16 bits.
static int set_baud(const struct imx_uart *uart) {
    uint32_t up = 16 * uart->baud, down = uart->clock_hz;
    if (up > down) {
        return EK_EINVAL;
    }
    for (uint32_t a = up, b = down; a != 0;) {
        uint32_t rest = b % a;
        b = a;
        a = rest;
        if (a == 0) { // b is the greatest common divisor
            up /= b;
            down /= b;
        }
    }
    while (down > 65536) { // up is the smaller one
        up /= 2;
        down /= 2;
    }
    if (up == 0) {
        return EK_EINVAL;
    }
    ek_write32(uart->base + UBIR, up - 1); // first: UBMR takes both over (UBMR)
    ek_write32(uart->base + UBMR, down - 1);
    return EK_OK;
}

static int init(const void *dev) {
    const struct imx_uart *uart = dev;
    ek_assert(uart->base != 0);
    ek_assert(uart->baud != 0);
    // An earlier owner, such as a boot loader, gets to send its last words.
    if (ek_read32(uart->base + UCR1) & UCR1_UARTEN) {
        (void)wait_for(uart, USR2, USR2_TXDC, USR2_TXDC);
    }
    ek_write32(uart->base + UCR2, 0); // reset, FIFOs too
    (void)wait_for(uart, UTS, UTS_SOFTRST, 0);
    ek_write32(uart->base + UCR3, UCR3_RXDMUXSEL);
    ek_write32(uart->base + UCR4, 0);
    ek_write32(uart->base + UFCR, UFCR_DIVIDE_BY_1 | UFCR_LEVELS);
    ek_write32(uart->base + UCR1, UCR1_UARTEN); // the divider takes values only when enabled
    ek_write32(uart->base + UCR2, UCR2_SRST | UCR2_RXEN | UCR2_TXEN | UCR2_WS | UCR2_IRTS);
    return set_baud(uart);
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct imx_uart *uart = dev;
    for (size_t i = 0; i < len; i++) {
        if (wait_for(uart, UTS, UTS_TXFULL, 0) < 0) {
            return EK_ETIMEDOUT;
        }
        ek_write32(uart->base + UTXD, data[i]);
    }
    return (int)len;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct imx_uart *uart = dev;
    size_t count = 0;
    while (count < len && ek_read32(uart->base + USR2) & USR2_RDR) {
        uint32_t word = ek_read32(uart->base + URXD);
        if ((word & (URXD_CHARRDY | URXD_ERR)) == URXD_CHARRDY) { // no break, parity, framing error
            data[count++] = (uint8_t)word;
        }
    }
    return (int)count;
}

const struct ek_uart_ops imx_uart_ops = {.init = init, .write = write, .read = read};
