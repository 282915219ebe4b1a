// caam_rng.c: the random number generator of NXP's CAAM: a noise source with tests of its own that
// seeds a generator ("state handle"), asked for 16 bytes at a time by jobs in a ring of one.
// NXP's security manuals are not public. Registers, commands and errors are as Linux
// (drivers/crypto/caam), U-Boot (drivers/crypto/fsl) and OP-TEE (core/drivers/crypto/caam) have
// them; rings of one as in NXP's U-Boot for these chips. On i.MX chips registers and commands are
// little-endian, pointers have 32 bits, and pages 4 KB.
//
// Who came first may have set up the state handle, and may have kept all but some job rings to its
// world, as TF-A and OP-TEE do. So we draw first, and touch what is not in our ring only if there
// is no state handle.
// Left to the board's soc driver: clocks. Left out: the second state handle, secure keys, job rings
// that wait to be started (JRSTART), which NXP's code for these chips does not know either.
#include "caam_rng.h"
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/mmio.h"

// Of a job ring, whose last 256 bytes are the CAAM's status registers once more.
enum { PAGE = 0x1000, IRBA = 0x00, IRS = 0x0c, IRJA = 0x1c, ORBA = 0x20, ORS = 0x2c };
enum { ORJR = 0x34, ORSF = 0x3c, JRINT = 0x4c, JRCFG_LS = 0x54, JRCR = 0x6c, CHAVID_LS = 0xfec };
enum { HALT = 3 << 2, HALT_DONE = 2 << 2, MASKED = 1, RESET = 1, RNG_SHIFT = 16, RNG_4 = 4 };
// Of the noise source ("TRNG") and the state handles, in page 0.
enum { RTMCTL = 0x600, RTSCMISC = 0x604, RTSDCTL = 0x610, RTFRQMIN = 0x618, RTFRQMAX = 0x61c };
enum { RTSCML = 0x620, RDSTA = 0x6c0, HANDLE_0 = 1 << 0 };
enum { PROGRAM = 1 << 16, FAILED = 1 << 12, ACCESS = 1 << 5, SAMPLING = 3, RAW = 1 };
enum { DELAY_SHIFT = 16, DELAY_MIN = 3200, DELAY_MAX = 12800, SAMPLES = 512, NO_MAX = 1 << 20 };

// Commands of jobs: header with its length in words, draw or set up, store.
#define HEADER 0xb0800000u
#define GENERATE 0x82500000u
#define INSTANTIATE 0x82500004u
#define FRESH 0x2u // "prediction resistance": seeded anew for this; then 16 bytes are all entropy
#define STORE 0x60340000u

// How a job ended: 0, or who says so (2: a unit that it uses; 5: the generator), and why.
#define WHY 0xf00000ffu
#define NO_HANDLE 0x20000054u
#define NOT_FRESH 0x20000056u // whoever set it up did not want that
#define NO_ANSWER UINT32_MAX

enum { BLOCK = 16, TRIES_MAX = 3 };
// Linux polls as often; a poll takes over 20 ns.
enum { RESET_POLLS_MAX = 100000 };
// Half the time of the kernel's watchdog. Noise takes 0.1 s where we set it up (12,800 clocks a
// sample, 66 MHz), 0.5 s as it comes out of reset (2,500 samples), and the device tries some times.
enum { LIMIT_US = 4000000 };

static uintptr_t ring_of(const struct caam_rng *rng) { return rng->base + PAGE * (rng->ring + 1); }

static bool becomes(uintptr_t reg, uint32_t mask, uint32_t value) {
    for (uint32_t polls = 0; polls < RESET_POLLS_MAX; polls++) {
        if ((ek_read32(reg) & mask) == value) {
            return true;
        }
    }
    return false;
}

// What an earlier user left in the ring is ended, by the first of two resets.
static int start_ring(const struct caam_rng *rng) {
    uintptr_t ring = ring_of(rng);
    ek_write32(ring + JRCFG_LS, ek_read32(ring + JRCFG_LS) | MASKED);
    ek_write32(ring + JRCR, RESET);
    if (!becomes(ring + JRINT, HALT, HALT_DONE)) {
        return EK_EIO;
    }
    ek_write32(ring + JRCR, RESET);
    if (!becomes(ring + JRCR, RESET, 0)) {
        return EK_EIO;
    }
    ek_write32(ring + IRBA, 0); // the upper half
    ek_write32(ring + IRBA + 4, (uint32_t)(uintptr_t)rng->state->in);
    ek_write32(ring + ORBA, 0);
    ek_write32(ring + ORBA + 4, (uint32_t)(uintptr_t)rng->state->out);
    ek_write32(ring + IRS, 1);
    ek_write32(ring + ORS, 1);
    return EK_OK;
}

static int init(const void *dev) {
    const struct caam_rng *rng = dev;
    ek_assert(rng->base != 0);
    ek_assert((uintptr_t)rng->state % CAAM_RNG_LINE == 0);
    // Zeros in QEMU, whose models have no CAAM.
    if ((ek_read32(ring_of(rng) + CHAVID_LS) >> RNG_SHIFT & 0xf) < RNG_4) {
        return EK_ENOENT;
    }
    int status = start_ring(rng);
    rng->state->stuck = status != EK_OK;
    return status;
}

// Run the commands in `job`. `data` is cleared before, so that it never is from an earlier job.
static uint32_t run(const struct caam_rng *rng, uint64_t end_us) {
    struct caam_rng_state *state = rng->state;
    state->in[0] = (uint32_t)(uintptr_t)state->job;
    state->out[0] = 0;
    memset(state->data, 0, sizeof state->data);
    ek_dma_clean(state, sizeof *state);
    ek_dma_barrier();
    ek_write32(ring_of(rng) + IRJA, 1);
    do {
        if (ek_read32(ring_of(rng) + ORSF) != 0) {
            ek_dma_barrier();
            ek_dma_invalidate((void *)state->out, CAAM_RNG_LINE);
            ek_dma_invalidate(state->data, CAAM_RNG_LINE);
            ek_write32(ring_of(rng) + ORJR, 1);
            if (state->out[0] == state->in[0]) {
                return state->out[1];
            }
            break; // another's
        }
    } while (ek_clock_us() < end_us);
    state->stuck = start_ring(rng) != EK_OK; // for the next call
    return NO_ANSWER;
}

static uint32_t draw(const struct caam_rng *rng, uint32_t fresh, uint64_t end_us) {
    uint32_t *job = rng->state->job;
    job[0] = HEADER | 4;
    job[1] = GENERATE | fresh;
    job[2] = STORE | BLOCK;
    job[3] = (uint32_t)(uintptr_t)rng->state->data;
    return run(rng, end_us);
}

// Limits of the noise source's tests for 512 samples, as Linux and OP-TEE have them; no upper limit
// of its frequency, as in U-Boot and Linux.
static void start_noise(uintptr_t base, uint32_t delay) {
    static const uint32_t misc_poker[] = {2 << 16 | 32, 570, 1600};
    static const uint32_t ones_runs[] = {122 << 16 | 317, 80 << 16 | 107, 57 << 16 | 62,
                                         39 << 16 | 39,   27 << 16 | 26,  19 << 16 | 18,
                                         18 << 16 | 17};
    uint32_t control = ek_read32(base + RTMCTL) & ~(uint32_t)(PROGRAM | FAILED | ACCESS | SAMPLING);
    ek_write32(base + RTMCTL, control | PROGRAM | ACCESS); // both: what was sampled is dropped
    ek_write32(base + RTSDCTL, delay << DELAY_SHIFT | SAMPLES);
    ek_write32(base + RTFRQMIN, delay / 4);
    ek_write32(base + RTFRQMAX, NO_MAX);
    for (unsigned i = 0; i < sizeof misc_poker / 4; i++) {
        ek_write32(base + RTSCMISC + 4 * i, misc_poker[i]);
    }
    for (unsigned i = 0; i < sizeof ones_runs / 4; i++) {
        ek_write32(base + RTSCML + 4 * i, ones_runs[i]);
    }
    ek_write32(base + RTMCTL, control | RAW);
    ek_write32(base + RTMCTL, control | RAW | FAILED); // written to clear
}

// How long a sample must take depends on chip and temperature: longer until the tests are passed.
static uint32_t instantiate(const struct caam_rng *rng, uint64_t end_us) {
    for (uint32_t delay = DELAY_MIN; delay <= DELAY_MAX; delay *= 2) {
        start_noise(rng->base, delay);
        rng->state->job[0] = HEADER | 2;
        rng->state->job[1] = INSTANTIATE | FRESH;
        uint32_t status = run(rng, end_us);
        if (status == NO_ANSWER || (status == 0 && ek_read32(rng->base + RDSTA) & HANDLE_0)) {
            return status;
        }
    }
    return NO_HANDLE;
}

// 16 bytes into `data`. A failed test of the noise, which good noise may fail too, is another try.
static int fill(const struct caam_rng *rng, uint64_t end_us) {
    uint32_t status = 0;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        status = draw(rng, FRESH, end_us);
        if ((status & WHY) == NOT_FRESH) {
            status = draw(rng, 0, end_us);
        }
        if (status == 0) {
            return EK_OK;
        }
        if ((status & WHY) == NO_HANDLE) {
            status = instantiate(rng, end_us);
        }
        if (status == NO_ANSWER) {
            return EK_ETIMEDOUT;
        }
    }
    return EK_EIO;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    static const uint8_t zeros[BLOCK];
    const struct caam_rng *rng = dev;
    uint8_t *fresh = rng->state->data;
    uint64_t end_us = ek_clock_us() + LIMIT_US;
    if (rng->state->stuck) {
        return EK_EIO;
    }
    for (size_t done = 0; done < len; done += BLOCK) {
        int status = fill(rng, end_us);
        if (status < 0) {
            return status;
        }
        if (memcmp(fresh, zeros, BLOCK) == 0 ||                              // nothing was written
            (done != 0 && memcmp(fresh, data + done - BLOCK, BLOCK) == 0)) { // it is stuck
            return EK_EIO;
        }
        memcpy(data + done, fresh, len - done < BLOCK ? len - done : BLOCK);
        memset(fresh, 0, BLOCK); // what was handed out stays nowhere else
    }
    return (int)len;
}

const struct ek_entropy_ops caam_rng_ops = {.name = "CAAM", .init = init, .read = read};
