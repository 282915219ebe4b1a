// virtio_mmio.h: instance data of the virtio-mmio transport, filled in by the generated devices.c.
#ifndef EK_VIRTIO_MMIO_H
#define EK_VIRTIO_MMIO_H
#include "ek/virtio.h"

struct virtio_mmio {
    uintptr_t base;  // first slot's first register, physical address
    uint32_t stride; // bytes from slot to slot
    uint32_t slots;
};
extern const struct ek_virtio_ops virtio_mmio_ops;
#endif
