// legacy.h: devices without modern registers; between virtio_pci.c and legacy.c.
#ifndef EK_VIRTIO_PCI_LEGACY_H
#define EK_VIRTIO_PCI_LEGACY_H
#include "virtio_pci.h"

// Bits of the device status (2.1), and the vector that stands for none (4.1.5.1.2).
enum {
    STATUS_ACKNOWLEDGE = 1u << 0,
    STATUS_DRIVER = 1u << 1,
    STATUS_DRIVER_OK = 1u << 2,
    STATUS_FEATURES_OK = 1u << 3,
    STATUS_FAILED = 1u << 7,
};
enum { VECTOR = 0, NO_VECTOR = 0xffff };

int legacy_reset(const struct virtio_pci_device *device);
uint64_t legacy_negotiate(const struct virtio_pci_device *device, uint64_t wanted);
int legacy_add_queue(struct virtio_pci_state *state, const struct virtio_pci_device *device,
                     uint16_t index, struct ek_virtqueue *queue);
void legacy_start(const struct virtio_pci_device *device);
void legacy_notify(const struct virtio_pci_device *device, uint16_t index);
uint8_t legacy_isr(const struct virtio_pci_device *device);
uint8_t legacy_config8(const struct virtio_pci_device *device, uint32_t offset);
#endif
