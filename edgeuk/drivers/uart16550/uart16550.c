// uart16550.c: 16550A UART at I/O ports. Polled, 8N1, FIFOs on; no interrupts, no flow control.
// Datasheet: TI PC16550D, SNLS378C; numbers in parentheses are its sections.
#include "uart16550.h"
#include "ek/assert.h"
#include "ek/pio.h"

// Registers (table 1). DLL and DLM are in the place of DATA and IER while LCR_DLAB is set.
enum { DATA = 0, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5, DLL = 0, DLM = 1 };
enum { LCR_8N1 = 3u << 0, LCR_DLAB = 1u << 7 };     // (8.1)
enum { FCR_ENABLE = 1u << 0, FCR_CLEAR = 3u << 1 }; // (8.4)
enum { MCR_DTR = 1u << 0, MCR_RTS = 1u << 1 };      // (8.7)
enum {
    LSR_READY = 1u << 0,
    LSR_BAD = 7u << 2,
    LSR_THRE = 1u << 5
}; // (8.3): parity, framing, break

enum { FIFO_BYTES = 16 };

static int init(const void *dev) {
    const struct uart16550 *uart = dev;
    ek_assert(uart->baud != 0);

    // Divisor = clock / (16 * baud), rounded; 1 to 65535 (8.2).
    uint64_t sixteen_baud = 16 * (uint64_t)uart->baud;
    uint64_t divisor = (uart->clock_hz + sixteen_baud / 2) / sixteen_baud;
    if (divisor < 1 || divisor > 65535) {
        return EK_EINVAL;
    }

    ek_out8(uart->port + IER, 0);
    ek_out8(uart->port + LCR, LCR_DLAB | LCR_8N1);
    ek_out8(uart->port + DLL, (uint8_t)divisor);
    ek_out8(uart->port + DLM, (uint8_t)(divisor >> 8));
    ek_out8(uart->port + LCR, LCR_8N1);
    ek_out8(uart->port + FCR, FCR_ENABLE | FCR_CLEAR);
    ek_out8(uart->port + MCR, MCR_DTR | MCR_RTS);
    return EK_OK;
}

// Wait until the transmit FIFO is empty.
static int wait_empty(const struct uart16550 *uart) {
    // A full FIFO and the shift register take 17 characters of 10 bits. A port access takes 1 us on
    // an ISA bus; sixteen times as many polls, because an emulator's may be faster.
    uint32_t polls_max = 16u * 170u * 1000000u / uart->baud;
    for (uint32_t polls = 0; polls <= polls_max; polls++) {
        if (ek_in8(uart->port + LSR) & LSR_THRE) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct uart16550 *uart = dev;
    for (size_t i = 0; i < len; i++) {
        // THRE means that the whole FIFO is empty and takes 16 bytes (8.3, 8.4).
        if (i % FIFO_BYTES == 0) {
            int status = wait_empty(uart);
            if (status != EK_OK) {
                return status;
            }
        }
        ek_out8(uart->port + DATA, data[i]);
    }
    return (int)len;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct uart16550 *uart = dev;
    size_t count = 0;
    // Damaged characters are dropped; each turn takes one out of the FIFO, which bounds the loop:
    // a line that delivers faster than we read is given up after 16 more.
    for (size_t turns = 0; count < len && turns < len + FIFO_BYTES; turns++) {
        uint8_t status = ek_in8(uart->port + LSR);
        if (!(status & LSR_READY)) {
            break;
        }
        uint8_t byte = ek_in8(uart->port + DATA);
        if (!(status & LSR_BAD)) {
            data[count++] = byte;
        }
    }
    return (int)count;
}

const struct ek_uart_ops uart16550_ops = {.init = init, .write = write, .read = read};
