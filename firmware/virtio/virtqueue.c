// virtqueue.c: the split virtqueue, driver side. VIRTIO 1.2, section 2.7. One descriptor per
// buffer, or one chain at a time; no indirect descriptors, no event index, and so the same for
// legacy devices. Everything that a device writes is checked: it may be another party's, or broken.
// Left out: devices of the other byte order (legacy on a big-endian machine).
#include <string.h>
#include "ek/assert.h"
#include "ek/dma.h"
#include "ek/virtio.h"

enum { DESCRIPTOR_NEXT = 1u << 0, DESCRIPTOR_WRITE = 1u << 1 }; // VIRTQ_DESC_F_... (2.7.5)
enum { AVAILABLE_NO_INTERRUPT = 1u << 0 };                      // (2.7.6)
enum { USED_NO_NOTIFY = 1u << 0 };                              // (2.7.8)
enum { FLAGS = 0, INDEX = 1, RING = 2 };                        // of both rings, in halfwords
_Static_assert((EK_VIRTQUEUE_SIZE & (EK_VIRTQUEUE_SIZE - 1)) == 0, "powers of 2 (2.7)");
_Static_assert(EK_VIRTQUEUE_SIZE <= 32, "in_flight has 32 bits");

// Devices change these behind the compiler's back.
static uint16_t read16(const uint16_t *field) { return *(const volatile uint16_t *)field; }
static uint32_t read32(const uint32_t *field) { return *(const volatile uint32_t *)field; }
static void write16(uint16_t *field, uint16_t value) { *(volatile uint16_t *)field = value; }

void ek_virtqueue_init(struct ek_virtqueue *queue, uint16_t size) {
    ek_assert(size <= EK_VIRTQUEUE_SIZE);
    *queue = (struct ek_virtqueue){.descriptors = queue->own_descriptors,
                                   .available = queue->own_available,
                                   .used_head = queue->own_used.head,
                                   .used = queue->own_used.ring,
                                   .size = size};
    queue->available[FLAGS] = AVAILABLE_NO_INTERRUPT;
}

void ek_virtqueue_init_at(struct ek_virtqueue *queue, void *memory, uint16_t size, uint32_t align) {
    uint8_t *start = memory, *used = start + EK_VIRTQUEUE_USED_AT((uint32_t)size, align);
    memset(start, 0, EK_VIRTQUEUE_BYTES((uint32_t)size, align));
    *queue = (struct ek_virtqueue){.descriptors = memory,
                                   .available =
                                       (void *)(start + sizeof(struct ek_virtq_descriptor) * size),
                                   .used_head = (void *)used,
                                   .used = (void *)(used + 4),
                                   .size = size};
    queue->available[FLAGS] = AVAILABLE_NO_INTERRUPT;
}

static uint16_t at(const struct ek_virtqueue *queue, uint16_t index) {
    return index & (uint16_t)(queue->size - 1);
}

void ek_virtqueue_add(struct ek_virtqueue *queue, uint16_t id, const void *data, uint32_t len,
                      enum ek_virtqueue_access access) {
    ek_assert(id < EK_VIRTQUEUE_SIZE);
    ek_assert(id < queue->size);
    ek_assert(!(queue->in_flight & 1u << id));
    queue->in_flight |= 1u << id;
    queue->descriptors[id].addr = (uintptr_t)data;
    queue->descriptors[id].len = len;
    queue->descriptors[id].flags = access == EK_VIRTQUEUE_DEVICE_WRITES ? DESCRIPTOR_WRITE : 0;
    queue->available[RING + at(queue, queue->added)] = id;
    queue->added++;
}

void ek_virtqueue_add_chain(struct ek_virtqueue *queue, const struct ek_virtqueue_part *parts,
                            unsigned count) {
    ek_assert(count > 0 && count <= queue->size);
    ek_virtqueue_add(queue, 0, parts[0].data, parts[0].len, parts[0].access);
    for (uint16_t i = 1; i < count; i++) { // the device sees none of it before the kick
        queue->descriptors[i].addr = (uintptr_t)parts[i].data;
        queue->descriptors[i].len = parts[i].len;
        queue->descriptors[i].flags =
            parts[i].access == EK_VIRTQUEUE_DEVICE_WRITES ? DESCRIPTOR_WRITE : 0;
        queue->descriptors[i - 1].flags |= DESCRIPTOR_NEXT;
        queue->descriptors[i - 1].next = i;
    }
}

bool ek_virtqueue_kick(struct ek_virtqueue *queue) {
    if (queue->available[INDEX] == queue->added) {
        return false;
    }
    ek_dma_barrier(); // descriptors and ring before the index (2.7.13.3.1)
    write16(&queue->available[INDEX], queue->added);
    ek_dma_barrier(); // the index before the device's wish (2.7.13.4.1)
    return !(read16(&queue->used_head[FLAGS]) & USED_NO_NOTIFY);
}

static int broken(struct ek_virtqueue *queue) {
    queue->broken = true;
    return EK_EIO;
}

int ek_virtqueue_take(struct ek_virtqueue *queue, uint32_t *len) {
    uint16_t waiting = (uint16_t)(read16(&queue->used_head[INDEX]) - queue->taken);
    if (waiting == 0 || queue->broken) {
        return EK_EAGAIN;
    }
    if (waiting > queue->size) {
        return broken(queue);
    }
    ek_dma_barrier(); // the index before the entry and the buffer (2.7.14)
    const struct ek_virtq_used *entry = &queue->used[at(queue, queue->taken)];
    uint32_t id = read32(&entry->id);
    uint32_t written = read32(&entry->len);
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
    write16(&queue->available[FLAGS], wanted ? 0 : AVAILABLE_NO_INTERRUPT);
    ek_dma_barrier(); // before the caller looks at the ring once more (2.7.7.1)
}
