// ek/virtio.h: virtio devices. A transport driver (class "virtio": MMIO or PCI) finds a
// device and negotiates; the split virtqueue, firmware/virtio/, is the same on all of them.
// Virtual I/O Device (VIRTIO) Version 1.2, OASIS, 2022; section numbers in the code are its.
#ifndef EK_VIRTIO_H
#define EK_VIRTIO_H
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

enum { EK_VIRTIO_ID_NET = 1, EK_VIRTIO_ID_BLOCK = 2, EK_VIRTIO_ID_RNG = 4 }; // device ids (5)

// Feature bits of every device type (6). Transports add VERSION_1 by themselves.
#define EK_VIRTIO_F_ANY_LAYOUT (UINT64_C(1) << 27) // legacy only (6.3)
#define EK_VIRTIO_F_VERSION_1 (UINT64_C(1) << 32)

enum { EK_VIRTQUEUE_SIZE = 16 };  // buffers per queue, a power of 2
enum { EK_VIRTQUEUE_ALIGN = 64 }; // of the used ring; legacy devices are told (4.2.4)

// One split virtqueue (2.7). Every buffer is a single descriptor, and descriptor i always is the
// caller's buffer i, so that there is no free list and no chain that a device could break.
struct ek_virtqueue {
    // Shared with the device. The legacy layout (2.7.2) is one piece in this order.
    alignas(EK_VIRTQUEUE_ALIGN) struct ek_virtq_descriptor {
        uint64_t addr;
        uint32_t len;
        uint16_t flags;
        uint16_t next;
    } own_descriptors[EK_VIRTQUEUE_SIZE];
    uint16_t own_available[2 + EK_VIRTQUEUE_SIZE + 1];
    alignas(EK_VIRTQUEUE_ALIGN) struct {
        uint16_t head[2];
        struct ek_virtq_used {
            uint32_t id;
            uint32_t len;
        } ring[EK_VIRTQUEUE_SIZE];
        uint16_t available_event;
    } own_used;

    // Ours. The rings are those above, or elsewhere where a device insists on longer ones.
    struct ek_virtq_descriptor *descriptors;
    uint16_t *available;              // flags, index, ring, used_event (2.7.6)
    uint16_t *used_head;              // flags, index (2.7.8)
    const struct ek_virtq_used *used; // ring
    uint16_t size;                    // entries per ring, a power of 2
    uint16_t taken;                   // used entries taken so far; wraps
    uint16_t added;     // buffers added so far; available.index after the next kick; wraps
    uint32_t in_flight; // bit i: buffer i belongs to the device
    bool broken;        // the device wrote nonsense: nothing more is taken from it
};

struct ek_virtio_ops {
    // Look for the `nth` (0: first) device with device id `id`, and give its `handle` for the calls
    // below. EK_OK; EK_ENOENT.
    int (*find)(const void *dev, uint32_t id, uint32_t nth, uintptr_t *handle);
    // Reset the device and settle on those of `wanted` that it offers (3.1.1, steps 1 to 6).
    // EK_OK; EK_EIO: it refuses, or its version is unknown; EK_ETIMEDOUT: it does not reset.
    int (*negotiate)(const void *dev, uintptr_t handle, uint64_t wanted, uint64_t *features);
    // Give queue `index` of the device its memory, after negotiate() and before start().
    // `queue->size` tells how many entries it has, EK_VIRTQUEUE_SIZE or more unless the device
    // cannot. EK_OK; EK_EIO: no such queue, or one that cannot be served.
    int (*add_queue)(const void *dev, uintptr_t handle, uint16_t index, struct ek_virtqueue *queue);
    // The driver is ready (3.1.1, step 8).
    void (*start)(const void *dev, uintptr_t handle);
    // There are new buffers in queue `index`.
    void (*notify)(const void *dev, uintptr_t handle, uint16_t index);
    // Acknowledge the device's interrupt; true if there was one.
    bool (*acknowledge)(const void *dev, uintptr_t handle);
    // A byte of the device's configuration space.
    uint8_t (*config8)(const void *dev, uintptr_t handle, uint32_t offset);
};

struct ek_virtio {
    const struct ek_virtio_ops *ops;
    const void *dev;
};

enum ek_virtqueue_access { EK_VIRTQUEUE_DEVICE_READS, EK_VIRTQUEUE_DEVICE_WRITES };

// Empty `queue`, of `size` entries, a power of 2 up to EK_VIRTQUEUE_SIZE, in its own rings; no
// interrupt is asked for.
void ek_virtqueue_init(struct ek_virtqueue *queue, uint16_t size);
// The same for a legacy device that sets the size itself: rings in `memory`, aligned to `align`,
// with EK_VIRTQUEUE_BYTES(size, align) bytes of room.
void ek_virtqueue_init_at(struct ek_virtqueue *queue, void *memory, uint16_t size, uint32_t align);
#define EK_VIRTQUEUE_USED_AT(size, align)                                                          \
    ((16u * (size) + 6u + 2u * (size) + (align) - 1) & ~((align) - 1u))
#define EK_VIRTQUEUE_BYTES(size, align) (EK_VIRTQUEUE_USED_AT(size, align) + 6u + 8u * (size))
// Hand buffer `id` (below EK_VIRTQUEUE_SIZE and the size, not in flight) to the device, which
// learns of it from the next ek_virtqueue_kick().
void ek_virtqueue_add(struct ek_virtqueue *queue, uint16_t id, const void *data, uint32_t len,
                      enum ek_virtqueue_access access);
// The same for a buffer of `count` parts, the first queue's entries each, which nothing else may be
// using; ek_virtqueue_take() gives 0 as its id, and no length that means anything.
struct ek_virtqueue_part {
    const void *data;
    uint32_t len;
    enum ek_virtqueue_access access;
};
void ek_virtqueue_add_chain(struct ek_virtqueue *queue, const struct ek_virtqueue_part *parts,
                            unsigned count);
// Publish what was added. True when the device asks to be notified.
bool ek_virtqueue_kick(struct ek_virtqueue *queue);
// Take back one buffer: its id, and in `len` what the device wrote, at most what it was given.
// EK_EAGAIN: none; EK_EIO: the device wrote nonsense, the queue is broken from now on.
int ek_virtqueue_take(struct ek_virtqueue *queue, uint32_t *len);
// Ask for an interrupt for every buffer taken back, or for none. A hint: some come nevertheless.
void ek_virtqueue_interrupt(struct ek_virtqueue *queue, bool wanted);
#endif
