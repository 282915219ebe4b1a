// random.c: random numbers (ek/random.h) from ChaCha20 with fast key erasure: half of each block
// becomes the next key, so that what leaks later does not tell what was drawn before.
// Left out: reseeding from the source. A device that reboots for its updates draws far less than
// 2^64 blocks.
#include <string.h>
#include "arch/arch.h"
#include "ek/random.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

enum { KEY_BYTES = 32, TRIES_MAX = 64 };
enum { JITTER_SAMPLES = 32, JITTER_US = 32, JITTER_POLLS_MAX = 4096 }; // the clock may stand still

static uint32_t state[12]; // key (8 words), counter and nonce, which stay 0: the key never repeats
static const char *source;
static bool weak;

// Draw KEY_BYTES bytes at most and step to the next key.
static void step(uint8_t *data, size_t len) {
    uint8_t block[64];
    chacha20_block(state, block);
    memcpy(state, block, KEY_BYTES);
    memcpy(data, block + KEY_BYTES, len);
    memset(block, 0, sizeof block);
    __asm__ volatile("" : : "r"(block) : "memory"); // the compiler must not drop the erasure
}

// Mix `len` (at most KEY_BYTES) bytes into the key.
static void absorb(const void *data, size_t len) {
    uint8_t *key = (uint8_t *)state;
    for (size_t i = 0; i < len; i++) {
        key[i] ^= ((const uint8_t *)data)[i];
    }
    step(key, 0);
}

static bool seed_from_device(uint8_t seed[KEY_BYTES]) {
    const struct ek_entropy *role = &ek_role_entropy;
    if (!role->ops || role->ops->init(role->dev) != EK_OK) {
        return false;
    }
    size_t len = 0;
    for (int tries = 0; tries < TRIES_MAX && len < KEY_BYTES; tries++) {
        int got = role->ops->read(role->dev, seed + len, KEY_BYTES - len);
        if (got < 0) {
            return false;
        }
        len += (size_t)got;
    }
    return len == KEY_BYTES;
}

// Whether a source is stuck: as good as no seed of 32 bytes repeats its first eight.
static bool repeats(const uint8_t seed[KEY_BYTES]) {
    return memcmp(seed, seed + 8, KEY_BYTES - 8) == 0;
}

// Some bits from how often the clock can be read in a while, which emulation, caches and a clock of
// its own vary. An attacker who knows the machine may guess them: reported as weak.
static void absorb_jitter(void) {
    for (int i = 0; i < JITTER_SAMPLES; i++) {
        uint64_t start_us = arch_clock_us();
        uint64_t sample[2] = {start_us, 0}; // time, reads
        while (sample[0] - start_us < JITTER_US && sample[1] < JITTER_POLLS_MAX) {
            sample[0] = arch_clock_us();
            sample[1]++;
        }
        absorb(sample, sizeof sample);
    }
}

void random_init(void) {
    uint8_t seed[KEY_BYTES] = {0};
    if (arch_random(seed, sizeof seed) == sizeof seed && !repeats(seed)) {
        source = "processor"; // at once; a device makes the boot wait for it
    } else if (seed_from_device(seed) && !repeats(seed)) {
        source = ek_role_entropy.ops->name ? ek_role_entropy.ops->name : "device";
        weak = ek_role_entropy.ops->weak;
    } else {
        source = "clock jitter (weak)";
        weak = true;
        absorb_jitter();
    }
    absorb(seed, sizeof seed);
    memset(seed, 0, sizeof seed);
    __asm__ volatile("" : : "r"(seed) : "memory"); // the compiler must not drop the erasure
    // Devices that differ in nothing else differ in their configuration.
    uint32_t crc = device_config_crc();
    absorb(&crc, sizeof crc);
}

const char *kernel_entropy_source(void) { return source; }

bool ek_random_is_weak(void) { return weak; }

void ek_random(void *data, size_t len) {
    uint8_t *out = data;
    while (len > 0) {
        size_t part = len < KEY_BYTES ? len : KEY_BYTES;
        step(out, part);
        out += part;
        len -= part;
    }
}

// A word of the key each time; the next step() mixes it with the others.
void ek_random_stir(uint64_t when_us) {
    static uint8_t word;
    state[word++ % (KEY_BYTES / sizeof state[0])] ^= (uint32_t)when_us;
}

uint32_t ek_random32(void) {
    uint32_t value;
    ek_random(&value, sizeof value);
    return value;
}
