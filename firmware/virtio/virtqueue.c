// virtqueue.c: the split virtqueue, driver side. VIRTIO 1.2, section 2.7. One descriptor per
// buffer; no indirect descriptors, no event index, and so the same for legacy devices.
// Everything that a device writes is checked: it may be another party's, or broken.
// Left out: devices of the other byte order (legacy on a big-endian machine).
#include "ek/assert.h"
#include "ek/dma.h"
#include "ek/virtio.h"

enum { DESCRIPTOR_WRITE = 1u << 1 };       // VIRTQ_DESC_F_WRITE (2.7.5)
enum { AVAILABLE_NO_INTERRUPT = 1u << 0 }; // (2.7.6)
enum { USED_NO_NOTIFY = 1u << 0 };         // (2.7.8)
enum { MASK = EK_VIRTQUEUE_SIZE - 1 };
_Static_assert((EK_VIRTQUEUE_SIZE & MASK) == 0, "queue sizes are powers of 2 (2.7)");
_Static_assert(EK_VIRTQUEUE_SIZE <= 32, "in_flight has 32 bits");

// Devices change these behind the compiler's back.
static uint16_t read16(const uint16_t *field) { return *(const volatile uint16_t *)field; }
static uint32_t read32(const uint32_t *field) { return *(const volatile uint32_t *)field; }
static void write16(uint16_t *field, uint16_t value) { *(volatile uint16_t *)field = value; }

void ek_virtqueue_init(struct ek_virtqueue *queue) {
    *queue = (struct ek_virtqueue){.available.flags = AVAILABLE_NO_INTERRUPT};
}

void ek_virtqueue_add(struct ek_virtqueue *queue, uint16_t id, const void *data, uint32_t len,
                      enum ek_virtqueue_access access) {
    ek_assert(id < EK_VIRTQUEUE_SIZE);
    ek_assert(!(queue->in_flight & 1u << id));
    queue->in_flight |= 1u << id;
    queue->descriptors[id].addr = (uintptr_t)data;
    queue->descriptors[id].len = len;
    queue->descriptors[id].flags = access == EK_VIRTQUEUE_DEVICE_WRITES ? DESCRIPTOR_WRITE : 0;
    queue->available.ring[queue->added & MASK] = id;
    queue->added++;
}

bool ek_virtqueue_kick(struct ek_virtqueue *queue) {
    if (queue->available.index == queue->added) {
        return false;
    }
    ek_dma_barrier(); // descriptors and ring before the index (2.7.13.3.1)
    write16(&queue->available.index, queue->added);
    ek_dma_barrier(); // the index before the device's wish (2.7.13.4.1)
    return !(read16(&queue->used.flags) & USED_NO_NOTIFY);
}

static int broken(struct ek_virtqueue *queue) {
    queue->broken = true;
    return EK_EIO;
}

int ek_virtqueue_take(struct ek_virtqueue *queue, uint32_t *len) {
    uint16_t waiting = (uint16_t)(read16(&queue->used.index) - queue->taken);
    if (waiting == 0 || queue->broken) {
        return EK_EAGAIN;
    }
    if (waiting > EK_VIRTQUEUE_SIZE) {
        return broken(queue);
    }
    ek_dma_barrier(); // the index before the entry and the buffer (2.7.14)
    uint32_t id = read32(&queue->used.ring[queue->taken & MASK].id);
    uint32_t written = read32(&queue->used.ring[queue->taken & MASK].len);
    queue->taken++;
    if (id >= EK_VIRTQUEUE_SIZE || !(queue->in_flight & 1u << id)) {
        return broken(queue);
    }
    queue->in_flight &= ~(1u << id);
    uint32_t given = queue->descriptors[id].len;
    *len = written < given ? written : given;
    return (int)id;
}

void ek_virtqueue_interrupt(struct ek_virtqueue *queue, bool wanted) {
    write16(&queue->available.flags, wanted ? 0 : AVAILABLE_NO_INTERRUPT);
    ek_dma_barrier(); // before the caller looks at the ring once more (2.7.7.1)
}
