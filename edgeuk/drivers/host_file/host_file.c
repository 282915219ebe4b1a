// host_file.c: the file of `--storage FILE`, written through to the disk below it.
#include "host_file.h"
#include "ek/host.h"

static int init(const void *dev, uint64_t *size, uint32_t *unit) {
    (void)dev;
    *unit = EK_STORAGE_BLOCK;
    return ek_host_storage_size(size);
}

static int read(const void *dev, uint64_t at, uint8_t *data, size_t len) {
    (void)dev;
    return ek_host_storage_read(at, data, len);
}

static int write(const void *dev, uint64_t at, const uint8_t *data, size_t len) {
    (void)dev;
    return ek_host_storage_write(at, data, len);
}

const struct ek_storage_ops host_file_ops = {.init = init, .read = read, .write = write};
