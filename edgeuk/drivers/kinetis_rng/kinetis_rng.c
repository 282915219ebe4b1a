// kinetis_rng.c: the random number accelerator of Kinetis chips (RNGA): two free-running ring
// oscillators mixed into a shift register. Its manual says to use it as a seed only, and how much
// it is worth is not specified; hence the name. Every word here is sixteen of the device's.
// Document: NXP K64P144M120SF5RM, chapter RNGA; names in parentheses are its registers.
// Left to the board's soc driver: the clock gate.
#include "kinetis_rng.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/mmio.h"

enum { CR = 0x00, SR = 0x04, OR = 0x0c };
enum { CR_GO = 1u << 0, CR_HA = 1u << 1, CR_INTM = 1u << 2, CR_CLRI = 1u << 3 };
enum { SR_SECV = 1u << 0, SR_LEVEL = 0xffu << 8 }; // a security violation; words that are there
enum { MIXED = 16 };

// A word takes 256 clocks of the module, 4 us at the bus's 60 MHz.
enum { WORD_US_MAX = 1000 };

static int init(const void *dev) {
    const struct kinetis_rng *rng = dev;
    ek_assert(rng->base != 0);
    ek_write32(rng->base + CR, CR_HA | CR_INTM | CR_CLRI);
    ek_write32(rng->base + CR, CR_HA | CR_INTM | CR_GO);
    return EK_OK;
}

// A word read before it is there is 0, and a security violation (OR).
static int take(const struct kinetis_rng *rng, uint32_t *word) {
    for (uint64_t end_us = ek_clock_us() + WORD_US_MAX;;) {
        uint32_t status = ek_read32(rng->base + SR);
        if (status & SR_SECV) {
            return EK_EIO;
        }
        if (status & SR_LEVEL) {
            *word = ek_read32(rng->base + OR);
            return EK_OK;
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct kinetis_rng *rng = dev;
    uint32_t mixed = 0, first = 0;
    bool same = true;
    for (int i = 0; i < MIXED; i++) {
        uint32_t word = 0;
        int status = take(rng, &word);
        if (status < 0) {
            return status;
        }
        first = i == 0 ? word : first;
        same = same && word == first;
        mixed = (mixed << 7 | mixed >> 25) ^ word;
    }
    if (same) {
        return EK_EIO; // it is stuck
    }
    size_t count = len < sizeof mixed ? len : sizeof mixed;
    for (size_t i = 0; i < count; i++) {
        data[i] = (uint8_t)(mixed >> 8 * i);
    }
    return (int)count;
}

const struct ek_entropy_ops kinetis_rng_ops = {
    .name = "RNGA (weak)", .init = init, .read = read, .weak = true};
