// legacy.c: the port registers of devices from before VIRTIO 1.0. VIRTIO 1.2, 4.1.4.10.
// Left out: queues of more than 256 entries, which need more memory than most images have.
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/pio.h"
#include "legacy.h"

enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_PFN = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    STATUS = 18,
    ISR = 19,
    QUEUE_VECTOR = 22, // only while MSI-X is on
    CONFIG = 20,
    CONFIG_WITH_MESSAGES = 24,
};
enum { RESET_US_MAX = 10000 }; // emulators reset at once; the specification names no limit
_Static_assert(EK_VIRTQUEUE_BYTES(256u, (uint32_t)VIRTIO_PCI_PAGE) <= VIRTIO_PCI_RING_BYTES, "256");

static uint16_t reg(const struct virtio_pci_device *device, unsigned offset) {
    return (uint16_t)(device->port + offset);
}

int legacy_reset(const struct virtio_pci_device *device) {
    ek_out8(reg(device, STATUS), 0);
    uint64_t start_us = ek_clock_us();
    while (ek_in8(reg(device, STATUS)) != 0) {
        if (ek_clock_us() - start_us > RESET_US_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    return EK_OK;
}

uint64_t legacy_negotiate(const struct virtio_pci_device *device, uint64_t wanted) {
    ek_out8(reg(device, STATUS), STATUS_ACKNOWLEDGE);
    ek_out8(reg(device, STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    uint32_t features = ek_in32(reg(device, DEVICE_FEATURES)) & (uint32_t)wanted;
    ek_out32(reg(device, DRIVER_FEATURES), features);
    return features;
}

// The memory for one queue of `device`: what it had before, or the next that is free.
static uint8_t *ring(struct virtio_pci_state *state, uint32_t function, uint16_t queue) {
    for (unsigned i = 0; i < VIRTIO_PCI_RINGS; i++) {
        bool free = state->ring_owners[i].function == 0;
        if (free ||
            (state->ring_owners[i].function == function && state->ring_owners[i].queue == queue)) {
            state->ring_owners[i].function = function;
            state->ring_owners[i].queue = queue;
            return state->rings[i];
        }
    }
    return NULL;
}

int legacy_add_queue(struct virtio_pci_state *state, const struct virtio_pci_device *device,
                     uint16_t index, struct ek_virtqueue *queue) {
    ek_out16(reg(device, QUEUE_SELECT), index);
    uint16_t size = ek_in16(reg(device, QUEUE_SIZE)); // the device's; 0: no such queue
    bool power_of_2 = size != 0 && (size & (size - 1)) == 0;
    if (!power_of_2 ||
        EK_VIRTQUEUE_BYTES((uint32_t)size, (uint32_t)VIRTIO_PCI_PAGE) > VIRTIO_PCI_RING_BYTES ||
        ek_in32(reg(device, QUEUE_PFN)) != 0) { // in use, which a reset should have ended
        return EK_EIO;
    }
    uint8_t *memory = ring(state, device->function, index);
    if (!memory) {
        return EK_EIO;
    }
    ek_virtqueue_init_at(queue, memory, size, VIRTIO_PCI_PAGE);
    ek_dma_barrier();
    ek_out32(reg(device, QUEUE_PFN), (uint32_t)((uintptr_t)memory / VIRTIO_PCI_PAGE));
    if (device->messages) {
        ek_out16(reg(device, QUEUE_VECTOR), VECTOR);
        if (ek_in16(reg(device, QUEUE_VECTOR)) != VECTOR) { // out of vectors (4.1.5.1.2.1)
            return EK_EIO;
        }
    }
    return EK_OK;
}

void legacy_start(const struct virtio_pci_device *device) {
    ek_out8(reg(device, STATUS), STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
}

void legacy_notify(const struct virtio_pci_device *device, uint16_t index) {
    ek_out16(reg(device, QUEUE_NOTIFY), index);
}

uint8_t legacy_isr(const struct virtio_pci_device *device) { return ek_in8(reg(device, ISR)); }

uint8_t legacy_config8(const struct virtio_pci_device *device, uint32_t offset) {
    uint32_t start = device->messages ? CONFIG_WITH_MESSAGES : CONFIG;
    return offset < 0x100 ? ek_in8(reg(device, start + offset)) : 0;
}
