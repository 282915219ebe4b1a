// virtio_blk.c: virtio block device, legacy and modern. One request of one sector at a time, waited
// for; what is written is flushed. For records, not for speed.
// Document: VIRTIO 1.2; numbers in parentheses are its sections.
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "virtio_blk.h"

enum { REQUESTS = 0 };                                      // the only queue (5.2.2)
enum { F_RO = 1u << 5, F_FLUSH = 1u << 9 };                 // feature bits (5.2.3)
enum { CONFIG_CAPACITY = 0 };                               // in sectors, 64 bits (5.2.4)
enum { IN = 0, OUT = 1, FLUSH = 4 };                        // types of requests (5.2.6)
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 255 }; // statuses; none has come
enum { HEADER_BYTES = 16, STATUS_BYTES = 1, PARTS_MAX = 3 };
// A disk that wakes up, or a host that flushes to one, may take a second.
enum { ANSWER_US_MAX = 3000000 };

static int init(const void *dev, uint64_t *size, uint32_t *unit) {
    const struct virtio_blk *blk = dev;
    struct virtio_blk_state *state = blk->state;
    const struct ek_virtio *bus = blk->bus;
    uint64_t features, sectors = 0;
    state->started = false;
    if (bus->ops->find(bus->dev, EK_VIRTIO_ID_BLOCK, blk->nth, &state->handle) < 0) {
        return EK_ENOENT;
    }
    // A legacy device is used in the layout that every one knows: three parts (5.2.6.4).
    if (bus->ops->negotiate(bus->dev, state->handle, F_RO | F_FLUSH, &features) < 0 ||
        bus->ops->add_queue(bus->dev, state->handle, REQUESTS, &state->requests) < 0 ||
        state->requests.size < PARTS_MAX) {
        return EK_EIO;
    }
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t byte = bus->ops->config8(bus->dev, state->handle, CONFIG_CAPACITY + i);
        sectors |= byte << 8 * i;
    }
    if (sectors > UINT64_MAX / EK_STORAGE_BLOCK) {
        return EK_EIO;
    }
    state->size = sectors * EK_STORAGE_BLOCK;
    state->read_only = features & F_RO;
    state->flushes = features & F_FLUSH; // else it writes through (5.2.5.2)
    state->started = true;
    bus->ops->start(bus->dev, state->handle);
    *size = state->size;
    *unit = EK_STORAGE_BLOCK;
    return EK_OK;
}

// Take back the request that is out, if it has been answered.
static int take(struct virtio_blk_state *state) {
    uint32_t len;
    return ek_virtqueue_take(&state->requests, &len);
}

static int request(const struct virtio_blk *blk, uint32_t type, uint64_t sector) {
    struct virtio_blk_state *state = blk->state;
    if (state->requests.in_flight != 0 && take(state) < 0) {
        return EK_ETIMEDOUT; // the last one is still the device's
    }
    state->header.type = type;
    state->header.reserved = 0;
    state->header.sector = sector;
    state->status = S_NONE;
    struct ek_virtqueue_part parts[PARTS_MAX] = {
        {&state->header, HEADER_BYTES, EK_VIRTQUEUE_DEVICE_READS}};
    unsigned count = 1;
    if (type != FLUSH) {
        parts[count++] = (struct ek_virtqueue_part){state->data, EK_STORAGE_BLOCK,
                                                    type == IN ? EK_VIRTQUEUE_DEVICE_WRITES
                                                               : EK_VIRTQUEUE_DEVICE_READS};
    }
    parts[count++] =
        (struct ek_virtqueue_part){&state->status, STATUS_BYTES, EK_VIRTQUEUE_DEVICE_WRITES};
    ek_virtqueue_add_chain(&state->requests, parts, count);
    if (ek_virtqueue_kick(&state->requests)) {
        blk->bus->ops->notify(blk->bus->dev, state->handle, REQUESTS);
    }
    int id;
    uint64_t start_us = ek_clock_us();
    while ((id = take(state)) == EK_EAGAIN) {
        if (ek_clock_us() - start_us > ANSWER_US_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    (void)blk->bus->ops->acknowledge(blk->bus->dev, state->handle); // none was asked for
    return id < 0 || *(volatile uint8_t *)&state->status != S_OK ? EK_EIO : EK_OK;
}

static int check(const struct virtio_blk_state *state, uint64_t at, size_t len) {
    ek_assert(at % EK_STORAGE_BLOCK == 0);
    ek_assert(len % EK_STORAGE_BLOCK == 0);
    if (!state->started) {
        return EK_EIO;
    }
    return at > state->size || len > state->size - at ? EK_ERANGE : EK_OK;
}

static int read(const void *dev, uint64_t at, uint8_t *data, size_t len) {
    const struct virtio_blk *blk = dev;
    int status = check(blk->state, at, len);
    for (size_t done = 0; done < len && status == EK_OK; done += EK_STORAGE_BLOCK) {
        status = request(blk, IN, (at + done) / EK_STORAGE_BLOCK);
        if (status == EK_OK) {
            memcpy(data + done, blk->state->data, EK_STORAGE_BLOCK);
        }
    }
    return status;
}

static int write(const void *dev, uint64_t at, const uint8_t *data, size_t len) {
    const struct virtio_blk *blk = dev;
    struct virtio_blk_state *state = blk->state;
    int status = check(state, at, len);
    if (status == EK_OK && state->read_only) {
        return EK_EREFUSED;
    }
    for (size_t done = 0; done < len && status == EK_OK; done += EK_STORAGE_BLOCK) {
        if (state->requests.in_flight != 0 && take(state) < 0) {
            return EK_ETIMEDOUT; // before its data is overwritten
        }
        memcpy(state->data, data + done, EK_STORAGE_BLOCK);
        status = request(blk, OUT, (at + done) / EK_STORAGE_BLOCK);
    }
    return status == EK_OK && state->flushes ? request(blk, FLUSH, 0) : status;
}

const struct ek_storage_ops virtio_blk_ops = {.init = init, .read = read, .write = write};
