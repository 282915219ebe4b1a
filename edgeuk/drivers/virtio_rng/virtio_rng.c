// virtio_rng.c: virtio entropy device. One request at a time, waited for.
// Document: VIRTIO 1.2; numbers in parentheses are its sections.
#include <string.h>
#include "virtio_rng.h"
#include "ek/clock.h"

enum { REQUESTS = 0 }; // the only queue (5.4.2)
// An emulator's main loop answers within milliseconds; a host without entropy may take for ever.
enum { ANSWER_US_MAX = 200000 };

static int init(const void *dev) {
    const struct virtio_rng *rng = dev;
    struct virtio_rng_state *state = rng->state;
    const struct ek_virtio *bus = rng->bus;
    uint64_t features;
    state->started = false;
    if (bus->ops->find(bus->dev, EK_VIRTIO_ID_RNG, rng->nth, &state->handle) < 0) {
        return EK_ENOENT;
    }
    if (bus->ops->negotiate(bus->dev, state->handle, 0, &features) < 0 ||
        bus->ops->add_queue(bus->dev, state->handle, REQUESTS, &state->requests) < 0) {
        return EK_EIO;
    }
    state->started = true;
    bus->ops->start(bus->dev, state->handle);
    return EK_OK;
}

// Wait for the answer; returns what ek_virtqueue_take() says, EK_ETIMEDOUT for EK_EAGAIN.
static int wait(struct virtio_rng_state *state, uint32_t *len) {
    uint64_t start_us = ek_clock_us();
    int id = EK_EAGAIN;
    while ((id = ek_virtqueue_take(&state->requests, len)) == EK_EAGAIN) {
        if (ek_clock_us() - start_us > ANSWER_US_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    return id;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    const struct virtio_rng *rng = dev;
    struct virtio_rng_state *state = rng->state;
    if (!state->started || len == 0) {
        return EK_EIO;
    }
    // A request that timed out is still the device's: its answer will do.
    if (state->requests.in_flight == 0) {
        ek_virtqueue_add(&state->requests, 0, state->data, sizeof state->data,
                         EK_VIRTQUEUE_DEVICE_WRITES);
        if (ek_virtqueue_kick(&state->requests)) {
            rng->bus->ops->notify(rng->bus->dev, state->handle, REQUESTS);
        }
    }
    uint32_t given = 0;
    int status = wait(state, &given);
    (void)rng->bus->ops->acknowledge(rng->bus->dev, state->handle); // none was asked for
    if (status < 0) {
        return status;
    }
    if (given == 0) {
        return EK_EIO; // the device must give at least one byte (5.4.6.2)
    }
    size_t count = given < len ? given : len;
    memcpy(data, state->data, count);
    memset(state->data, 0, sizeof state->data); // what was handed out stays nowhere else
    return (int)count;
}

const struct ek_entropy_ops virtio_rng_ops = {.init = init, .read = read};
