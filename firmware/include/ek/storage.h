// ek/storage.h: what keeps bytes without power: a disk, a file, a flash chip. Addressed from 0 in
// bytes; all calls end by themselves, within seconds at most.
#ifndef EK_STORAGE_H
#define EK_STORAGE_H
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

enum { EK_STORAGE_BLOCK = 512 }; // reads and writes begin and end at its multiples

struct ek_storage_ops {
    // How many bytes there are, and how many a write replaces together (one block, or what a flash
    // chip erases): if the power fails, only those are lost. EK_OK, EK_ENOENT (nothing there),
    // EK_EIO.
    int (*init)(const void *dev, uint64_t *size, uint32_t *unit);
    // EK_OK, EK_ERANGE (beyond the end), EK_EIO, EK_ETIMEDOUT.
    int (*read)(const void *dev, uint64_t at, uint8_t *data, size_t len);
    // The same, and EK_EREFUSED: it is read-only. After EK_OK the bytes outlast a power failure;
    // after anything else each block has its old bytes, the new ones, or neither.
    int (*write)(const void *dev, uint64_t at, const uint8_t *data, size_t len);
};

struct ek_storage {
    const struct ek_storage_ops *ops;
    const void *dev;
};
#endif
