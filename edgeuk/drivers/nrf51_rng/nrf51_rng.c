// nrf51_rng.c: the nRF51's random number generator: thermal noise, bias corrected. Document: nRF51
// Series Reference Manual 3.0, RNG; names in parentheses are its registers.
#include "nrf51_rng.h"
#include "ek/clock.h"
#include "ek/mmio.h"

enum { START = 0x000, STOP = 0x004, VALRDY = 0x100, SHORTS = 0x200 };
enum { INTENCLR = 0x308, CONFIG = 0x504, VALUE = 0x508 };
enum { DERCEN = 1u << 0 }; // (CONFIG) ones and zeros equally often, for more time per byte

// A corrected byte takes 677 us on average, and has no upper limit (product specification,
// tRNG,BC).
enum { BYTE_US_MAX = 20000 };

static int init(const void *dev) {
    const struct nrf51_rng *rng = dev;
    ek_write32(rng->base + STOP, 1);
    ek_write32(rng->base + INTENCLR, UINT32_MAX);
    ek_write32(rng->base + SHORTS, 0);
    ek_write32(rng->base + CONFIG, DERCEN);
    return EK_OK;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct nrf51_rng *rng = dev;
    size_t count = 0;
    ek_write32(rng->base + VALRDY, 0);
    ek_write32(rng->base + START, 1);
    while (count < len) {
        uint64_t start_us = ek_clock_us();
        while (ek_read32(rng->base + VALRDY) == 0) {
            if (ek_clock_us() - start_us > BYTE_US_MAX) {
                ek_write32(rng->base + STOP, 1);
                return count > 0 ? (int)count : EK_ETIMEDOUT;
            }
        }
        ek_write32(rng->base + VALRDY, 0);
        data[count++] = (uint8_t)ek_read32(rng->base + VALUE);
    }
    ek_write32(rng->base + STOP, 1); // it draws current while it runs
    return (int)count;
}

const struct ek_entropy_ops nrf51_rng_ops = {.name = "nrf51_rng", .init = init, .read = read};
