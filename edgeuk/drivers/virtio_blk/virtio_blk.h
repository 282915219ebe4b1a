// virtio_blk.h: instance data of the virtio block driver, filled in by the generated devices.c.
#ifndef EK_VIRTIO_BLK_H
#define EK_VIRTIO_BLK_H
#include "ek/storage.h"
#include "ek/virtio.h"

struct virtio_blk_state {
    struct ek_virtqueue requests;
    uintptr_t handle;
    uint64_t size; // bytes
    bool started, read_only, flushes;
    // Of the request under way. They are ours, not the caller's: a device may answer late.
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header;
    uint8_t status;
    uint8_t data[EK_STORAGE_BLOCK];
};

struct virtio_blk {
    const struct ek_virtio *bus;
    uint32_t nth; // which of several such devices on the bus
    struct virtio_blk_state *state;
};
extern const struct ek_storage_ops virtio_blk_ops;
#endif
