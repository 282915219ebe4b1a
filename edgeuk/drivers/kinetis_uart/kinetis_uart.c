// kinetis_uart.c: the UART of Kinetis K chips. Polled, 8N1, no flow control. A character that
// arrives interrupts, which only wakes the processor.
// Document: NXP K64P144M120SF5RM, chapter UART; names in parentheses are its registers, of 8 bits.
// Left out: LIN, ISO 7816, infrared, DMA. Left to the board's soc driver: clock gate and pins.
#include "kinetis_uart.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { BDH = 0x00, BDL = 0x01, C1 = 0x02, C2 = 0x03, S1 = 0x04, C3 = 0x06, D = 0x07, C4 = 0x0a };
enum { PFIFO = 0x10, CFIFO = 0x11, SFIFO = 0x12, TWFIFO = 0x13, RWFIFO = 0x15, RCFIFO = 0x16 };
enum { C2_RE = 1u << 2, C2_TE = 1u << 3, C2_RIE = 1u << 5 };
enum { S1_FE = 1u << 1, S1_NF = 1u << 2, S1_OR = 1u << 3, S1_TC = 1u << 6, S1_TDRE = 1u << 7 };
enum { PFIFO_RXFE = 1u << 3, PFIFO_TXFE = 1u << 7, PFIFO_TXSIZE_SHIFT = 4 };
enum { CFIFO_TXFLUSH = 1u << 7, CFIFO_RXFLUSH = 1u << 6 };
enum { SFIFO_ERRORS = 1u << 2 | 1u << 1 | 1u << 0 }; // RXOF, TXOF, RXUF
enum { SBR_MAX = 8191 };                             // 13 bits

// One place of the FIFO is free within one character: 10 bits, 33 ms at 300 baud.
enum { LIMIT_US = 40000 };

static unsigned get(const struct kinetis_uart *uart, uintptr_t reg) {
    return ek_read8(uart->base + reg);
}

static void put(const struct kinetis_uart *uart, uintptr_t reg, unsigned value) {
    ek_write8(uart->base + reg, (uint8_t)value);
}

static int wait_for(const struct kinetis_uart *uart, unsigned flag) {
    if (get(uart, S1) & flag) {
        return EK_OK;
    }
    for (uint64_t end_us = ek_clock_us() + LIMIT_US; ek_clock_us() < end_us;) {
        if (get(uart, S1) & flag) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

static int init(const void *dev) {
    const struct kinetis_uart *uart = dev;
    ek_assert(uart->base != 0);
    ek_assert(uart->baud != 0);
    // baud = clock / (16 * (SBR + BRFA / 32)): in 32nds, rounded ("Baud rate generation").
    uint32_t divisor = (2 * uart->clock_hz + uart->baud / 2) / uart->baud;
    if (divisor < 32 || divisor / 32 > SBR_MAX) {
        return EK_EINVAL;
    }
    if (get(uart, C2) & C2_TE) { // an earlier owner gets to send its last words
        (void)wait_for(uart, S1_TC);
    }
    put(uart, C2, 0); // FIFOs change only while it is off (PFIFO)
    put(uart, C1, 0); // 8N1
    put(uart, C3, 0);
    put(uart, BDH, divisor / 32 >> 8);
    put(uart, BDL, divisor / 32 & 0xff); // both take effect with this one (BDH)
    put(uart, C4, divisor % 32);
    unsigned size = get(uart, PFIFO) >> PFIFO_TXSIZE_SHIFT & 7;
    put(uart, PFIFO, PFIFO_TXFE | PFIFO_RXFE);
    put(uart, CFIFO, CFIFO_TXFLUSH | CFIFO_RXFLUSH);
    put(uart, SFIFO, SFIFO_ERRORS);
    put(uart, TWFIFO, size == 0 ? 0 : (2u << size) - 1); // TDRE: one place is free
    put(uart, RWFIFO, 1);                                // the first character interrupts
    put(uart, C2, C2_TE | C2_RE | C2_RIE);
    return EK_OK;
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct kinetis_uart *uart = dev;
    for (size_t i = 0; i < len; i++) {
        if (wait_for(uart, S1_TDRE) < 0) {
            return EK_ETIMEDOUT;
        }
        put(uart, D, data[i]);
    }
    return (int)len;
}

// After an error nothing more is received until S1 and then D have been read (S1.OR, S1.FE).
static int read(const void *dev, uint8_t *data, size_t len) {
    const struct kinetis_uart *uart = dev;
    size_t count = 0;
    while (count < len) {
        unsigned errors = get(uart, S1) & (S1_OR | S1_FE | S1_NF);
        unsigned waiting = get(uart, RCFIFO);
        if (errors != 0) {
            ek_counters.device_errors++;
        } else if (waiting == 0) {
            break;
        }
        uint8_t byte = (uint8_t)get(uart, D);
        if (waiting == 0) { // that put the FIFO's pointers out of step
            put(uart, CFIFO, CFIFO_RXFLUSH);
            put(uart, SFIFO, SFIFO_ERRORS);
            break;
        }
        if (!(errors & S1_FE) || waiting > 1) { // the last one in the FIFO is the broken one
            data[count++] = byte;
        }
    }
    return (int)count;
}

const struct ek_uart_ops kinetis_uart_ops = {.init = init, .write = write, .read = read};
