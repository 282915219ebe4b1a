// ek/entropy.h: what every hardware random source provides.
#ifndef EK_ENTROPY_H
#define EK_ENTROPY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

struct ek_entropy_ops {
    const char *name; // "virtio_rng": for the banner; may be NULL
    // EK_OK, EK_ENOENT (no such device there), EK_EIO.
    int (*init)(const void *dev);
    // Fill `data` with random bytes; returns how many (1 to len), or EK_ETIMEDOUT, EK_EIO.
    int (*read)(const void *dev, uint8_t *data, size_t len);
    bool weak; // what it gives may be guessed: a production image makes no keys of it
};

struct ek_entropy {
    const struct ek_entropy_ops *ops;
    const void *dev;
};
#endif
