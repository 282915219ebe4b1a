// virtio_pci.c: virtio over PCI, modern registers where there are any, else legacy ones (legacy.c).
// A handle is the address of a struct virtio_pci_device. Interrupts are MSI-X messages, or the line
// where a device has none; the board says which lines there are.
// Document: VIRTIO 1.2; numbers in parentheses are its sections.
// Left out: the PCI configuration access capability, shared memory, resetting a single queue, a
// message per queue.
#include "virtio_pci.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/mmio.h"
#include "ek/pci.h"
#include "legacy.h"

enum { VENDOR = 0x1af4, MODERN_ID = 0x1040, LEGACY_ID = 0x1000, LEGACY_ID_LAST = 0x103f }; // 4.1.2
enum { LEGACY_BYTES = 32 }; // registers, and the configuration of a network device (4.1.4.10)

// Capabilities (4.1.4): type and BAR in the first two words, then offset, length, and the step.
enum { CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_NOTIFY_STEP = 16 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_CONFIG = 4 };
enum { CAPS_MAX = 48 };

// Common configuration (4.1.4.3).
enum {
    DEVICE_FEATURES_SEL = 0x00,
    DEVICE_FEATURES = 0x04,
    DRIVER_FEATURES_SEL = 0x08,
    DRIVER_FEATURES = 0x0c,
    QUEUES = 0x12,
    STATUS = 0x14,
    QUEUE_SEL = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    COMMON_BYTES = 0x38,
};
enum { RESET_US_MAX = 10000 }; // emulators reset at once; the specification names no limit

static struct virtio_pci_device *device_of(uintptr_t handle) { return (void *)handle; }

// The virtio device id of a function; 0 where it is none.
static uint32_t virtio_id(uint32_t function) {
    uint32_t ids = ek_pci_read32(function, EK_PCI_ID);
    uint32_t device = ids >> 16;
    if ((ids & 0xffff) != VENDOR) {
        return 0;
    }
    if (device >= LEGACY_ID && device <= LEGACY_ID_LAST) {
        return ek_pci_read32(function, EK_PCI_SUBSYSTEM) >> 16;
    }
    return device > MODERN_ID && device < MODERN_ID + 0x40 ? device - MODERN_ID : 0;
}

// Reach the structure that a capability describes; 0 where that is impossible.
static uintptr_t map(uint32_t function, uint32_t cap, const struct ek_pci_bar *bars,
                     uint32_t *len) {
    uint32_t index = ek_pci_read32(function, cap + CAP_BAR) & 0xff;
    uint32_t offset = ek_pci_read32(function, cap + CAP_OFFSET);
    *len = ek_pci_read32(function, cap + CAP_LENGTH);
    return offset % 4 == 0 ? ek_pci_map(bars, index, offset, *len) : 0;
}

// Of several structures of one type the first that can be used counts (4.1.4.1).
static void find_structures(struct virtio_pci_device *device, const struct ek_pci_bar *bars) {
    uint32_t cap = 0;
    for (int i = 0; i < CAPS_MAX; i++) {
        cap = ek_pci_capability(device->function, EK_PCI_CAP_VENDOR, cap);
        if (cap == 0) {
            return;
        }
        uint32_t type = ek_pci_read32(device->function, cap) >> 24, len;
        if (type < TYPE_COMMON || type > TYPE_CONFIG) {
            continue;
        }
        uintptr_t at = map(device->function, cap, bars, &len);
        if (at == 0) {
            continue;
        }
        if (type == TYPE_COMMON && !device->common && len >= COMMON_BYTES) {
            device->common = at;
        } else if (type == TYPE_NOTIFY && !device->notify) {
            device->notify = at;
            device->notify_bytes = len;
            device->notify_step = ek_pci_read32(device->function, cap + CAP_NOTIFY_STEP);
        } else if (type == TYPE_ISR && !device->isr) {
            device->isr = at;
        } else if (type == TYPE_CONFIG && !device->config) {
            device->config = at;
            device->config_bytes = len;
        }
    }
}

static int open(const struct virtio_pci *bus, struct virtio_pci_device *device, uint32_t function) {
    uint64_t *window = &bus->state->window;
    *window = *window != 0 ? *window : bus->window;
    *device = (struct virtio_pci_device){.function = function};
    struct ek_pci_bar bars[EK_PCI_BARS];
    ek_pci_open(function, window, bars);
    find_structures(device, bars);
    if (!device->common || !device->notify || !device->isr) {
        uint32_t id = ek_pci_read32(function, EK_PCI_ID) >> 16;
        if (id > LEGACY_ID_LAST || bars[0].size < LEGACY_BYTES || !bars[0].is_ports) {
            device->function = 0;
            return EK_ENOENT;
        }
        device->port = (uint16_t)bars[0].address;
    }
    device->messages = ek_pci_use_msix(function, bars) == EK_OK;
    return EK_OK;
}

static int find(const void *dev, uint32_t id, uint32_t nth, uintptr_t *handle) {
    const struct virtio_pci *bus = dev;
    struct ek_pci_scan scan = {0};
    uint32_t function;
    while (ek_pci_next(&scan, &function)) {
        if (virtio_id(function) != id || nth-- != 0) {
            continue;
        }
        for (struct virtio_pci_device *device = bus->state->devices;
             device < bus->state->devices + VIRTIO_PCI_DEVICES; device++) {
            if (device->function == 0 || device->function == function) {
                *handle = (uintptr_t)device;
                return open(bus, device, function);
            }
        }
        return EK_ENOENT;
    }
    return EK_ENOENT;
}

static int reset(const struct virtio_pci_device *device) {
    ek_write8(device->common + STATUS, 0);
    uint64_t start_us = ek_clock_us();
    while (ek_read8(device->common + STATUS) != 0) { // (4.1.4.3.2)
        if (ek_clock_us() - start_us > RESET_US_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    return EK_OK;
}

static uint64_t read_features(uintptr_t common) {
    ek_write32(common + DEVICE_FEATURES_SEL, 1);
    uint64_t high = ek_read32(common + DEVICE_FEATURES);
    ek_write32(common + DEVICE_FEATURES_SEL, 0);
    return high << 32 | ek_read32(common + DEVICE_FEATURES);
}

static void write_features(uintptr_t common, uint64_t features) {
    ek_write32(common + DRIVER_FEATURES_SEL, 1);
    ek_write32(common + DRIVER_FEATURES, (uint32_t)(features >> 32));
    ek_write32(common + DRIVER_FEATURES_SEL, 0);
    ek_write32(common + DRIVER_FEATURES, (uint32_t)features);
}

static int negotiate(const void *dev, uintptr_t handle, uint64_t wanted, uint64_t *features) {
    (void)dev;
    const struct virtio_pci_device *device = device_of(handle);
    if ((device->port ? legacy_reset(device) : reset(device)) < 0) {
        return EK_ETIMEDOUT;
    }
    if (device->port) {
        *features = legacy_negotiate(device, wanted);
        return EK_OK;
    }
    uint8_t status = STATUS_ACKNOWLEDGE;
    ek_write8(device->common + STATUS, status);
    ek_write8(device->common + STATUS, status |= STATUS_DRIVER);
    *features = read_features(device->common) & (wanted | EK_VIRTIO_F_VERSION_1);
    write_features(device->common, *features);
    ek_write8(device->common + STATUS, status |= STATUS_FEATURES_OK);
    // The device clears FEATURES_OK if it cannot work with this choice (3.1.1, step 6); without
    // VERSION_1 it is not a device of this kind (6.1).
    if (!(ek_read8(device->common + STATUS) & STATUS_FEATURES_OK) ||
        !(*features & EK_VIRTIO_F_VERSION_1)) {
        ek_write8(device->common + STATUS, status | STATUS_FAILED);
        return EK_EIO;
    }
    return EK_OK;
}

static void write_address(uintptr_t low, const void *addr) {
    ek_write32(low, (uint32_t)(uintptr_t)addr);
    ek_write32(low + 4, (uint32_t)((uint64_t)(uintptr_t)addr >> 32));
}

// Where the selected queue is notified (4.1.4.4); 0 where that is outside of the structure.
static uintptr_t doorbell(const struct virtio_pci_device *device) {
    uint64_t offset = (uint64_t)ek_read16(device->common + QUEUE_NOTIFY_OFF) * device->notify_step;
    return offset % 2 == 0 && offset + 2 <= device->notify_bytes ? device->notify + offset : 0;
}

static int add_queue(const void *dev, uintptr_t handle, uint16_t index,
                     struct ek_virtqueue *queue) {
    const struct virtio_pci *bus = dev;
    struct virtio_pci_device *device = device_of(handle);
    uintptr_t common = device->common;
    if (index >= VIRTIO_PCI_QUEUES) {
        return EK_EIO;
    }
    if (device->port) {
        return legacy_add_queue(bus->state, device, index, queue);
    }
    ek_write16(common + QUEUE_SEL, index);
    uint16_t size = ek_read16(common + QUEUE_SIZE); // the largest; 0: no such queue
    device->doorbells[index] = doorbell(device);
    // In use already, which a reset should have ended (4.1.4.3.2); or not usable.
    if (index >= ek_read16(common + QUEUES) || ek_read16(common + QUEUE_ENABLE) != 0 || size == 0 ||
        (size & (size - 1)) != 0 || !device->doorbells[index]) {
        return EK_EIO;
    }
    ek_virtqueue_init(queue, size < EK_VIRTQUEUE_SIZE ? size : EK_VIRTQUEUE_SIZE);
    ek_dma_barrier();
    ek_write16(common + QUEUE_SIZE, queue->size);
    write_address(common + QUEUE_DESC, queue->descriptors);
    write_address(common + QUEUE_DRIVER, queue->available);
    write_address(common + QUEUE_DEVICE, queue->used_head);
    if (device->messages) {
        ek_write16(common + QUEUE_VECTOR, VECTOR);
        if (ek_read16(common + QUEUE_VECTOR) != VECTOR) { // out of vectors (4.1.5.1.2.1)
            return EK_EIO;
        }
    }
    ek_write16(common + QUEUE_ENABLE, 1);
    return EK_OK;
}

static void start(const void *dev, uintptr_t handle) {
    (void)dev;
    const struct virtio_pci_device *device = device_of(handle);
    if (device->port) {
        legacy_start(device);
        return;
    }
    uint8_t status = ek_read8(device->common + STATUS);
    ek_write8(device->common + STATUS, status | STATUS_DRIVER_OK);
}

static void notify(const void *dev, uintptr_t handle, uint16_t index) {
    (void)dev;
    const struct virtio_pci_device *device = device_of(handle);
    ek_assert(index < VIRTIO_PCI_QUEUES);
    if (device->port) {
        legacy_notify(device, index);
    } else {
        ek_write16(device->doorbells[index], index);
    }
}

static bool acknowledge(const void *dev, uintptr_t handle) {
    (void)dev;
    const struct virtio_pci_device *device = device_of(handle);
    if (device->messages) {
        return false; // messages are not held until someone acknowledges them
    }
    // Reading acknowledges (4.1.4.5).
    return (device->port ? legacy_isr(device) : ek_read8(device->isr)) != 0;
}

static uint8_t config8(const void *dev, uintptr_t handle, uint32_t offset) {
    (void)dev;
    const struct virtio_pci_device *device = device_of(handle);
    if (device->port) {
        return legacy_config8(device, offset);
    }
    return offset < device->config_bytes ? ek_read8(device->config + offset) : 0;
}

const struct ek_virtio_ops virtio_pci_ops = {
    .find = find,
    .negotiate = negotiate,
    .add_queue = add_queue,
    .start = start,
    .notify = notify,
    .acknowledge = acknowledge,
    .config8 = config8,
};
