// ek/device_key.h: a secret that each device has for itself, written when it was made.
#ifndef EK_DEVICE_KEY_H
#define EK_DEVICE_KEY_H
#include <stdint.h>
#include "ek/status.h"

enum { EK_DEVICE_KEY_BYTES = 32 };

struct ek_device_key_ops {
    // EK_OK, EK_ENOENT (nobody has written one: all zeros), EK_EIO, EK_ETIMEDOUT.
    int (*read)(const void *dev, uint8_t key[EK_DEVICE_KEY_BYTES]);
};

struct ek_device_key {
    const struct ek_device_key_ops *ops;
    const void *dev;
};
#endif
