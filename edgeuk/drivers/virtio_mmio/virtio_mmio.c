// virtio_mmio.c: virtio over memory-mapped registers, version 1 (legacy) and 2. A handle is the
// address of a slot's registers.
// Document: VIRTIO 1.2; numbers in parentheses are its sections.
// Left out: shared memory regions, resetting a single queue, device status other than init's.
#include "virtio_mmio.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/mmio.h"

// Register offsets (4.2.2), and those that only legacy devices have (4.2.4).
enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    LEGACY_PAGE_SIZE = 0x028,
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    LEGACY_QUEUE_ALIGN = 0x03c,
    LEGACY_QUEUE_PFN = 0x040,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    CONFIG = 0x100,
};
enum { MAGIC_VALUE = 0x74726976, LEGACY = 1, MODERN = 2 }; // "virt"
enum {                                                     // device status (2.1)
    STATUS_ACKNOWLEDGE = 1u << 0,
    STATUS_DRIVER = 1u << 1,
    STATUS_DRIVER_OK = 1u << 2,
    STATUS_FEATURES_OK = 1u << 3,
    STATUS_FAILED = 1u << 7,
};
// Emulators reset at once; the specification names no limit.
enum { RESET_US_MAX = 10000 };

static int find(const void *dev, uint32_t id, uint32_t nth, uintptr_t *handle) {
    const struct virtio_mmio *bus = dev;
    ek_assert(bus->base != 0);
    for (uint32_t slot = 0; slot < bus->slots; slot++) {
        uintptr_t base = bus->base + (uintptr_t)slot * bus->stride;
        // An empty slot has the magic value and device id 0 (4.2.2.1); beyond the last: anything.
        if (ek_read32(base + MAGIC) != MAGIC_VALUE || ek_read32(base + DEVICE_ID) != id) {
            continue;
        }
        if (nth-- == 0) {
            *handle = base;
            return EK_OK;
        }
    }
    return EK_ENOENT;
}

static int reset(uintptr_t base) {
    ek_write32(base + STATUS, 0);
    uint64_t start_us = ek_clock_us();
    while (ek_read32(base + STATUS) != 0) {
        if (ek_clock_us() - start_us > RESET_US_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    return EK_OK;
}

static uint64_t read_features(uintptr_t base) {
    ek_write32(base + DEVICE_FEATURES_SEL, 1);
    uint64_t high = ek_read32(base + DEVICE_FEATURES);
    ek_write32(base + DEVICE_FEATURES_SEL, 0);
    return high << 32 | ek_read32(base + DEVICE_FEATURES);
}

static void write_features(uintptr_t base, uint64_t features) {
    ek_write32(base + DRIVER_FEATURES_SEL, 1);
    ek_write32(base + DRIVER_FEATURES, (uint32_t)(features >> 32));
    ek_write32(base + DRIVER_FEATURES_SEL, 0);
    ek_write32(base + DRIVER_FEATURES, (uint32_t)features);
}

static int negotiate(const void *dev, uintptr_t base, uint64_t wanted, uint64_t *features) {
    (void)dev;
    uint32_t version = ek_read32(base + VERSION);
    if (version != LEGACY && version != MODERN) {
        return EK_EIO;
    }
    if (reset(base) < 0) {
        return EK_ETIMEDOUT;
    }
    ek_write32(base + STATUS, STATUS_ACKNOWLEDGE);
    ek_write32(base + STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    uint64_t offered = read_features(base);
    if (version == LEGACY) {
        *features = offered & wanted & ~EK_VIRTIO_F_VERSION_1;
        write_features(base, *features);
        ek_write32(base + LEGACY_PAGE_SIZE, EK_VIRTQUEUE_ALIGN); // unit of the queue address
        return EK_OK;
    }
    *features = offered & (wanted | EK_VIRTIO_F_VERSION_1);
    write_features(base, *features);
    uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
    ek_write32(base + STATUS, status);
    // The device clears FEATURES_OK if it cannot work with this choice (3.1.1, step 6); without
    // VERSION_1 it is not a device of this kind (6.1).
    if (!(ek_read32(base + STATUS) & STATUS_FEATURES_OK) || !(*features & EK_VIRTIO_F_VERSION_1)) {
        ek_write32(base + STATUS, status | STATUS_FAILED);
        return EK_EIO;
    }
    return EK_OK;
}

static void write_address(uintptr_t low, const void *addr) {
    ek_write32(low, (uint32_t)(uintptr_t)addr);
    ek_write32(low + 4, (uint32_t)((uint64_t)(uintptr_t)addr >> 32));
}

static int add_queue(const void *dev, uintptr_t base, uint16_t index, struct ek_virtqueue *queue) {
    (void)dev;
    bool legacy = ek_read32(base + VERSION) == LEGACY;
    ek_write32(base + QUEUE_SEL, index);
    // In use already (4.2.3.2), which a reset should have ended; or too small, 0 for none.
    if (ek_read32(base + (legacy ? LEGACY_QUEUE_PFN : QUEUE_READY)) != 0 ||
        ek_read32(base + QUEUE_NUM_MAX) < EK_VIRTQUEUE_SIZE) {
        return EK_EIO;
    }
    ek_virtqueue_init(queue, EK_VIRTQUEUE_SIZE);
    ek_dma_barrier();
    ek_write32(base + QUEUE_NUM, EK_VIRTQUEUE_SIZE);
    if (legacy) {
        ek_write32(base + LEGACY_QUEUE_ALIGN, EK_VIRTQUEUE_ALIGN);
        ek_write32(base + LEGACY_QUEUE_PFN,
                   (uint32_t)((uint64_t)(uintptr_t)queue / EK_VIRTQUEUE_ALIGN));
        return EK_OK;
    }
    write_address(base + QUEUE_DESC, queue->descriptors);
    write_address(base + QUEUE_DRIVER, queue->available);
    write_address(base + QUEUE_DEVICE, queue->used_head);
    ek_write32(base + QUEUE_READY, 1);
    return EK_OK;
}

static void start(const void *dev, uintptr_t base) {
    (void)dev;
    ek_write32(base + STATUS, ek_read32(base + STATUS) | STATUS_DRIVER_OK);
}

static void notify(const void *dev, uintptr_t base, uint16_t index) {
    (void)dev;
    ek_write32(base + QUEUE_NOTIFY, index);
}

static bool acknowledge(const void *dev, uintptr_t base) {
    (void)dev;
    uint32_t causes = ek_read32(base + INTERRUPT_STATUS);
    if (causes == 0) {
        return false;
    }
    ek_write32(base + INTERRUPT_ACK, causes);
    return true;
}

static uint8_t config8(const void *dev, uintptr_t base, uint32_t offset) {
    (void)dev;
    return ek_read8(base + CONFIG + offset);
}

const struct ek_virtio_ops virtio_mmio_ops = {
    .find = find,
    .negotiate = negotiate,
    .add_queue = add_queue,
    .start = start,
    .notify = notify,
    .acknowledge = acknowledge,
    .config8 = config8,
};
