// nrf51_uart.c: UART of the nRF51, polled, 8N1, without flow control.
// Document: nRF51 Series Reference Manual 3.0, chapters UART and GPIO; names in parentheses are its
// registers. Offsets, bits and rates were checked against Nordic's nrf51.svd and nrf51_bitfields.h.
// Not checked: the order of the accesses.
#include "nrf51_uart.h"
#include "ek/assert.h"
#include "ek/counters.h"
#include "ek/mmio.h"

enum { STARTRX = 0x000, STARTTX = 0x008, RXDRDY = 0x108, TXDRDY = 0x11c, ERROR = 0x124 };
enum { INTENCLR = 0x308, ERRORSRC = 0x480, ENABLE = 0x500 };
enum { PSELRTS = 0x508, PSELTXD = 0x50c, PSELCTS = 0x510, PSELRXD = 0x514 };
enum { RXD = 0x518, TXD = 0x51c, BAUDRATE = 0x524, CONFIG = 0x56c };
enum { ENABLED = 4 };           // (ENABLE)
enum { CONFIG_8N1 = 0 };        // (CONFIG) no parity, no flow control
#define DISCONNECTED UINT32_MAX // (PSEL)

enum { OUTSET = 0x508, DIRSET = 0x518, PIN_CNF = 0x700 }; // GPIO
enum { CNF_INPUT_PULL_UP = 3u << 2 };                     // (PIN_CNF) input connected, pull-up

// A character is 10 bits: 8.4 ms at 1200 baud. A poll takes over 0.3 us.
enum { POLLS_MAX = 100000 };

// Bits per second times 2^32 / 16 MHz, of which the upper 20 bits count: with rounding these are
// Nordic's values (BAUDRATE) but for 56000 and 921600, by less than 0.2 %: Nordic's support calls
// the latter's value in the header wrong.
static uint32_t divider(uint32_t baud) {
    return ((uint32_t)(((uint64_t)baud << 22) / 15625) + 0x800) & 0xfffff000;
}

// Pins are given while it is disabled; the port's own settings hold when it is (Pin configuration).
static int init(const void *dev) {
    const struct nrf51_uart *uart = dev;
    ek_assert(uart->tx < 32 && uart->rx < 32);
    if (uart->baud < 1200 || uart->baud > 1000000) {
        return EK_EINVAL;
    }
    ek_write32(uart->base + ENABLE, 0);
    ek_write32(uart->gpio + OUTSET, 1u << uart->tx); // the line's idle level
    ek_write32(uart->gpio + DIRSET, 1u << uart->tx);
    ek_write32(uart->gpio + PIN_CNF + 4u * uart->rx, CNF_INPUT_PULL_UP);
    ek_write32(uart->base + PSELTXD, uart->tx);
    ek_write32(uart->base + PSELRXD, uart->rx);
    ek_write32(uart->base + PSELRTS, DISCONNECTED);
    ek_write32(uart->base + PSELCTS, DISCONNECTED);
    ek_write32(uart->base + BAUDRATE, divider(uart->baud));
    ek_write32(uart->base + CONFIG, CONFIG_8N1);
    ek_write32(uart->base + INTENCLR, UINT32_MAX);
    ek_write32(uart->base + ENABLE, ENABLED);
    ek_write32(uart->base + RXDRDY, 0);
    ek_write32(uart->base + ERROR, 0);
    ek_write32(uart->base + STARTTX, 1);
    ek_write32(uart->base + STARTRX, 1);
    return EK_OK;
}

// TXDRDY says that the byte before has left; the event is cleared before there can be the next one.
static int write(const void *dev, const uint8_t *data, size_t len) {
    const struct nrf51_uart *uart = dev;
    for (size_t i = 0; i < len; i++) {
        ek_write32(uart->base + TXDRDY, 0);
        ek_write32(uart->base + TXD, data[i]);
        uint32_t polls = 0;
        while (ek_read32(uart->base + TXDRDY) == 0) {
            if (++polls == POLLS_MAX) {
                return EK_ETIMEDOUT;
            }
        }
    }
    return (int)len;
}

// RXD must not be read when nothing has arrived, and the event is cleared before it is (Reception).
static int read(const void *dev, uint8_t *data, size_t len) {
    const struct nrf51_uart *uart = dev;
    size_t count = 0;
    while (count < len && ek_read32(uart->base + RXDRDY) != 0) {
        ek_write32(uart->base + RXDRDY, 0);
        data[count++] = (uint8_t)ek_read32(uart->base + RXD);
    }
    if (ek_read32(uart->base + ERROR) != 0) {
        ek_write32(uart->base + ERROR, 0);
        ek_write32(uart->base + ERRORSRC,
                   ek_read32(uart->base + ERRORSRC)); // ones clear
        ek_counters.device_errors++;
    }
    return (int)count;
}

const struct ek_uart_ops nrf51_uart_ops = {.init = init, .write = write, .read = read};
