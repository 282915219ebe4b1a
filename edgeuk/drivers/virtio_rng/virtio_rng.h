// virtio_rng.h: instance data of the virtio entropy driver, filled in by the generated devices.c.
#ifndef EK_VIRTIO_RNG_H
#define EK_VIRTIO_RNG_H
#include "ek/entropy.h"
#include "ek/virtio.h"

struct virtio_rng_state {
    struct ek_virtqueue requests;
    uintptr_t handle;
    bool started;
    uint8_t data[64];
};

struct virtio_rng {
    const struct ek_virtio *bus;
    uint32_t nth; // which of several such devices on the bus
    struct virtio_rng_state *state;
};
extern const struct ek_entropy_ops virtio_rng_ops;
#endif
