// virtio_pci.h: instance data of the virtio-pci transport, filled in by the generated devices.c.
#ifndef EK_VIRTIO_PCI_H
#define EK_VIRTIO_PCI_H
#include "ek/virtio.h"

enum { VIRTIO_PCI_DEVICES = 4, VIRTIO_PCI_QUEUES = 4 };
// Legacy devices set the size of a queue: 256 entries are QEMU's, in 3 pages (2.7.2, 4.1.5.1.3).
enum { VIRTIO_PCI_PAGE = 4096, VIRTIO_PCI_RINGS = 3, VIRTIO_PCI_RING_BYTES = 3 * VIRTIO_PCI_PAGE };

// One device that was found; what is 0 it does not have.
struct virtio_pci_device {
    uint32_t function; // ek/pci.h; 0 is the host bridge, and so means: free
    uint16_t port;     // legacy registers; 0: modern
    bool messages;     // MSI-X is on; else the interrupt line
    uintptr_t common;  // modern registers (4.1.4)
    uintptr_t isr;
    uintptr_t config;
    uint32_t config_bytes;
    uintptr_t notify;
    uint32_t notify_bytes, notify_step;
    uintptr_t doorbells[VIRTIO_PCI_QUEUES]; // modern: where each queue is notified
};

struct virtio_pci_state {
    alignas(VIRTIO_PCI_PAGE) uint8_t rings[VIRTIO_PCI_RINGS][VIRTIO_PCI_RING_BYTES];
    struct virtio_pci_device devices[VIRTIO_PCI_DEVICES];
    uint64_t window; // what is left of the window; 0 before the first use
    struct {
        uint32_t function; // whose the ring is; 0: nobody's
        uint16_t queue;
    } ring_owners[VIRTIO_PCI_RINGS];
};

struct virtio_pci {
    uintptr_t window; // physical address space for BARs without an address
    struct virtio_pci_state *state;
};
extern const struct ek_virtio_ops virtio_pci_ops;
#endif
