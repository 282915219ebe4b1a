// bcm_rng200.c: Broadcom's RNG200, a generator with health tests of its own and a FIFO of words.
// No public data sheet; registers as Linux (iproc-rng200.c, and Raspberry Pi's version of it for
// BCM2711) and Circle (bcmrandom.cpp) have them.
#include "bcm_rng200.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/mmio.h"

enum { CTRL = 0x00, RNG_RESET = 0x04, RBG_RESET = 0x08, BIT_COUNT = 0x0c, THRESHOLD = 0x10 };
enum { INT_STATUS = 0x18, FIFO_DATA = 0x20, FIFO_COUNT = 0x24 };
enum { CTRL_GENERATE = 0x1fff, CTRL_1_MHZ = 3u << 13 }; // sampling
enum { BRIDGE_ID = 0x20 };
#define BRIDGE_IS 0x62726467u              // "brdg"
#define STATUS_FAILED (1u << 31 | 1u << 5) // locked out; failed NIST's test
enum { COUNT = 0xff };                     // words that are there
enum { WARM_UP_BITS = 0x40000 };           // less random, not handed out
enum { WARM_BITS = 16 };                   // of BIT_COUNT: the warm-up is over

// The warm-up takes 0.26 s at 1 MHz; a word takes 32 us, more where tests refuse some.
enum { WARM_LIMIT_US = 600000, WORD_LIMIT_US = 10000 };

static int init(const void *dev) {
    const struct bcm_rng200 *rng = dev;
    ek_assert(rng->base != 0);
    // QEMU's model has neither; it answers an access to the generator with an abort.
    if (rng->bridge != 0 && ek_read32(rng->bridge + BRIDGE_ID) != BRIDGE_IS) {
        return EK_ENOENT;
    }
    if (!(ek_read32(rng->base + CTRL) & CTRL_GENERATE)) { // else the firmware has started it
        ek_write32(rng->base + THRESHOLD, WARM_UP_BITS);
        ek_write32(rng->base + CTRL, CTRL_1_MHZ | CTRL_GENERATE);
    }
    return ek_read32(rng->base + CTRL) & CTRL_GENERATE ? EK_OK : EK_ENOENT;
}

// After a failed test nothing more comes.
static void restart(const struct bcm_rng200 *rng) {
    ek_write32(rng->base + CTRL, 0);
    ek_write32(rng->base + INT_STATUS, UINT32_MAX);
    ek_write32(rng->base + RBG_RESET, 1);
    ek_write32(rng->base + RNG_RESET, 1);
    ek_write32(rng->base + RNG_RESET, 0);
    ek_write32(rng->base + RBG_RESET, 0);
    (void)init(rng);
}

static int wait_above(const struct bcm_rng200 *rng, uint32_t reg, uint32_t mask, uint32_t least,
                      uint32_t limit_us) {
    for (uint64_t end_us = ek_clock_us() + limit_us;;) {
        if (ek_read32(rng->base + INT_STATUS) & STATUS_FAILED) {
            return EK_EIO;
        }
        if ((ek_read32(rng->base + reg) & mask) > least) {
            return EK_OK;
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct bcm_rng200 *rng = dev;
    size_t done = 0;
    int status = wait_above(rng, BIT_COUNT, UINT32_MAX, WARM_BITS, WARM_LIMIT_US);
    while (status == EK_OK && done < len) {
        status = wait_above(rng, FIFO_COUNT, COUNT, 0, WORD_LIMIT_US);
        if (status == EK_OK) {
            uint32_t word = ek_read32(rng->base + FIFO_DATA);
            for (unsigned i = 0; i < sizeof word && done < len; i++) {
                data[done++] = (uint8_t)(word >> 8 * i);
            }
        }
    }
    if (status == EK_EIO) {
        restart(rng); // for the next call; what was read before has passed the test
    }
    return done != 0 ? (int)done : status;
}

const struct ek_entropy_ops bcm_rng200_ops = {.name = "bcm_rng200", .init = init, .read = read};
