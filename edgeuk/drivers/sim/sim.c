// sim.c: a sensor that is not there. Every reading says so (EK_QUALITY_SIMULATED).
// The shapes run from low to high, both included, and depend on the time since boot alone: sine
// starts in the middle, rising; ramp rises from low to high and falls back at once; steps stand on
// eight levels for an eighth of the period each; noise is uniform and repeats for equal seeds.
#include "sim.h"
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/log.h"

// round(32767 * sin(90 degrees * i / 32)).
static const int16_t quarter_sine[33] = {
    0,     1608,  3212,  4808,  6393,  7962,  9512,  11039, 12539, 14010, 15446,
    16846, 18204, 19519, 20787, 22005, 23170, 24279, 25329, 26319, 27245, 28105,
    28898, 29621, 30273, 30852, 31356, 31785, 32137, 32412, 32609, 32728, 32767};

enum { SINE_ONE = 32767, STEPS = 8, FULL = 1 << 16 };

// Each shape says how far from low (0) to high (UINT32_MAX) it stands now.

// How far into its period the shape is: 0 to FULL - 1.
static uint32_t phase(const struct sim *sim) {
    uint64_t period_us = (uint64_t)sim->period * 1000;
    return (uint32_t)(ek_clock_us() % period_us * FULL / period_us);
}

static uint32_t sine(const struct sim *sim) {
    uint32_t angle = phase(sim);
    uint32_t quarter = angle >> 14;
    uint32_t rest = angle & 0x3fff;
    if (quarter & 1) { // falling: read the table backwards
        rest = 0x4000 - rest;
    }
    // Between two entries, 512 apart, on a straight line.
    uint32_t i = rest >> 9;
    int32_t entry = quarter_sine[i];
    int32_t next = quarter_sine[i < 32 ? i + 1 : 32];
    int32_t height = entry + (next - entry) * (int32_t)(rest & 511) / 512;
    uint32_t above = (uint32_t)(SINE_ONE + (quarter & 2 ? -height : height));
    return (uint32_t)((uint64_t)above * UINT32_MAX / (2 * SINE_ONE));
}

static uint32_t ramp(const struct sim *sim) {
    return phase(sim) * (UINT32_MAX / (FULL - 1)); // which divides without remainder
}

static uint32_t steps(const struct sim *sim) {
    uint32_t level = phase(sim) * STEPS / FULL;
    return (uint32_t)((uint64_t)level * UINT32_MAX / (STEPS - 1));
}

// Marsaglia's xorshift32 with (13, 17, 5): period 2^32 - 1, never 0.
static uint32_t noise(const struct sim *sim) {
    uint32_t x = sim->state->noise;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    sim->state->noise = x;
    return x;
}

static const struct {
    char name[6];
    uint32_t (*part)(const struct sim *sim);
} shapes[] = {{"sine", sine}, {"ramp", ramp}, {"steps", steps}, {"noise", noise}};

static int init(const void *dev) {
    const struct sim *sim = dev;
    ek_assert(sim->period > 0);
    if (sim->low > sim->high) {
        return EK_EINVAL;
    }
    for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(sim->shape, shapes[i].name) == 0) {
            sim->state->part = shapes[i].part;
            sim->state->noise = sim->seed != 0 ? sim->seed : 1;
            ek_log("sim: %s, simulated, seed %u", sim->shape, (unsigned)sim->seed);
            return EK_OK;
        }
    }
    return EK_EINVAL;
}

// low + (high - low) * part / UINT32_MAX, rounded to the nearest step. The span is split at the
// divisor, so that no product leaves 64 bits.
static int64_t between(const struct sim *sim, uint32_t part) {
    const uint64_t whole = UINT32_MAX;
    uint64_t span = (uint64_t)sim->high - (uint64_t)sim->low;
    uint64_t rise = span / whole * part + (span % whole * part + whole / 2) / whole;
    return (int64_t)((uint64_t)sim->low + rise);
}

static void poll(const void *dev) {
    const struct sim *sim = dev;
    int64_t value = between(sim, sim->state->part(sim));
    ek_sensor_report(sim->channel, value, EK_QUALITY_SIMULATED, EK_OK);
}

const struct ek_sensor_ops sim_ops = {.init = init, .poll = poll};
