// chacha20.c: the ChaCha20 block function (RFC 8439, 2.3).
#include <string.h>
#include "kernel/internal.h"

static uint32_t rotate(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

// (2.1), on the words a, b, c, d of the state.
static void quarter_round(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d) {
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint32_t input[12], uint8_t out[64]) {
    // "expand 32-byte k", then key, counter and nonce (2.3).
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint32_t x[16];
    memcpy(start + 4, input, 12 * sizeof(uint32_t));
    memcpy(x, start, sizeof x);
    for (unsigned i = 0; i < 20 * 4; i++) {
        unsigned shift = i / 4 % 2; // columns in even rounds, diagonals in odd ones
        quarter_round(x, i % 4, 4 + (i + shift) % 4, 8 + (i + 2 * shift) % 4,
                      12 + (i + 3 * shift) % 4);
    }
    for (unsigned i = 0; i < 64; i++) { // little-endian, whatever this machine is
        out[i] = (uint8_t)((x[i / 4] + start[i / 4]) >> (i % 4 * 8));
    }
}
