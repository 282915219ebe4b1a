// virtio_net.c: virtio network device, legacy and modern. One pair of queues, no offloads, no
// control queue: the address is the device's, and every frame is taken.
// Document: VIRTIO 1.2; numbers in parentheses are its sections.
// Cost per frame: sending is one notification unless the device is at work already; receiving is
// none, as buffers are given back in memory and interrupts acknowledged when the ring is empty.
#include <string.h>
#include "virtio_net.h"
#include "ek/assert.h"

enum { RECEIVE = 0, SEND = 1 };                       // queues (5.1.2)
enum { F_MAC = 1u << 5, F_STATUS = 1u << 16 };        // feature bits (5.1.3)
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6 };           // configuration space (5.1.4)
enum { S_LINK_UP = 1u << 0 };                         // (5.1.4)
enum { HEADER_LEGACY_BYTES = 10, HEADER_BYTES = 12 }; // (5.1.6.1)
enum { FRAME_MIN = 14, FRAME_PADDED = 60 };           // bytes without check sequence: IEEE 802.3
// Receive buffers are given back this many at a time, and all when the ring is empty.
enum { PUBLISH_EVERY = VIRTIO_NET_RECEIVE_BUFFERS / 2 };

static uint8_t *header(const struct virtio_net_state *state, struct virtio_net_buffer *buffer) {
    return buffer->frame - state->header_bytes;
}

static void give(struct virtio_net_state *state, uint16_t id) {
    ek_virtqueue_add(&state->receive, id, header(state, &state->received[id]),
                     state->header_bytes + EK_ETH_FRAME_MAX, EK_VIRTQUEUE_DEVICE_WRITES);
}

static void publish(const struct virtio_net *net, struct ek_virtqueue *queue, uint16_t index) {
    if (ek_virtqueue_kick(queue)) {
        net->bus->ops->notify(net->bus->dev, net->state->handle, index);
    }
}

static int negotiate(const struct virtio_net *net) {
    struct virtio_net_state *state = net->state;
    uint64_t features = 0;
    int status = net->bus->ops->negotiate(net->bus->dev, state->handle,
                                          F_MAC | F_STATUS | EK_VIRTIO_F_ANY_LAYOUT, &features);
    if (status < 0) {
        return status;
    }
    // Without ANY_LAYOUT a legacy device wants the header in a descriptor of its own (5.1.6.6).
    bool legacy = !(features & EK_VIRTIO_F_VERSION_1);
    if (legacy && !(features & EK_VIRTIO_F_ANY_LAYOUT)) {
        return EK_EIO;
    }
    state->header_bytes = legacy ? HEADER_LEGACY_BYTES : HEADER_BYTES;
    state->has_status = features & F_STATUS;
    return features & F_MAC ? 1 : 0;
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct virtio_net *net = dev;
    struct virtio_net_state *state = net->state;
    const struct ek_virtio *bus = net->bus;
    state->started = false;
    if (bus->ops->find(bus->dev, EK_VIRTIO_ID_NET, net->nth, &state->handle) < 0) {
        return EK_ENOENT;
    }
    int has_mac = negotiate(net);
    if (has_mac < 0) {
        return has_mac;
    }
    if (bus->ops->add_queue(bus->dev, state->handle, RECEIVE, &state->receive) < 0 ||
        bus->ops->add_queue(bus->dev, state->handle, SEND, &state->send) < 0) {
        return EK_EIO;
    }
    if (state->receive.size < VIRTIO_NET_RECEIVE_BUFFERS ||
        state->send.size < VIRTIO_NET_SEND_BUFFERS) {
        return EK_EIO; // no device has so short queues
    }
    static const uint8_t unset[6];
    if (memcmp(mac, unset, sizeof unset) == 0) {
        if (!has_mac) {
            return EK_EIO; // neither side knows an address
        }
        for (uint32_t i = 0; i < 6; i++) {
            mac[i] = bus->ops->config8(bus->dev, state->handle, CONFIG_MAC + i);
        }
    }
    for (uint16_t id = 0; id < VIRTIO_NET_RECEIVE_BUFFERS; id++) {
        give(state, id);
    }
    ek_virtqueue_interrupt(&state->receive, true);
    state->started = true;
    bus->ops->start(bus->dev, state->handle);
    publish(net, &state->receive, RECEIVE); // not before DRIVER_OK (3.1.1)
    return EK_OK;
}

// Take back one buffer that has been sent, if there is one; it is free by that alone.
static void reclaim(struct virtio_net_state *state) {
    uint32_t len;
    (void)ek_virtqueue_take(&state->send, &len);
}

static int free_buffer(const struct virtio_net_state *state) {
    for (int id = 0; id < VIRTIO_NET_SEND_BUFFERS; id++) {
        if (!(state->send.in_flight & 1u << id)) {
            return id;
        }
    }
    return EK_EAGAIN;
}

static uint8_t *frame(const void *dev) {
    const struct virtio_net *net = dev;
    struct virtio_net_state *state = net->state;
    if (!state->started) {
        return NULL;
    }
    reclaim(state);
    int id = free_buffer(state);
    if (id < 0) {
        // Full: the next completion shall wake the processor. It may have come just before.
        ek_virtqueue_interrupt(&state->send, true);
        reclaim(state);
        id = free_buffer(state);
        if (id < 0) {
            return NULL;
        }
    }
    if (state->send.available[0] == 0) {
        ek_virtqueue_interrupt(&state->send, false);
    }
    state->frame = (uint16_t)id;
    return state->sent[id].frame;
}

static int send(const void *dev, size_t len) {
    const struct virtio_net *net = dev;
    struct virtio_net_state *state = net->state;
    ek_assert(len >= FRAME_MIN);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    if (!state->started || state->send.broken) {
        return EK_EIO;
    }
    struct virtio_net_buffer *buffer = &state->sent[state->frame];
    if (len < FRAME_PADDED) {
        memset(buffer->frame + len, 0, FRAME_PADDED - len); // no bytes of earlier frames leak out
        len = FRAME_PADDED;
    }
    // The header is all zeros, for no offload (5.1.6.2): nobody ever writes to it.
    ek_virtqueue_add(&state->send, state->frame, header(state, buffer),
                     state->header_bytes + (uint32_t)len, EK_VIRTQUEUE_DEVICE_READS);
    publish(net, &state->send, SEND);
    return EK_OK;
}

// A used receive buffer's id, or EK_EAGAIN, EK_EIO. Before "none" the interrupt is acknowledged,
// and the ring looked at once more, as a frame may have come in between.
static int take(const struct virtio_net *net, uint32_t *len) {
    struct virtio_net_state *state = net->state;
    int id = ek_virtqueue_take(&state->receive, len);
    if (id != EK_EAGAIN) {
        return id;
    }
    publish(net, &state->receive, RECEIVE);
    if (!net->bus->ops->acknowledge(net->bus->dev, state->handle)) {
        return EK_EAGAIN;
    }
    return ek_virtqueue_take(&state->receive, len);
}

static int receive(const void *dev, uint8_t *out, size_t size) {
    const struct virtio_net *net = dev;
    struct virtio_net_state *state = net->state;
    if (!state->started) {
        return 0;
    }
    uint32_t len = 0;
    int id = take(net, &len);
    if (id < 0) {
        return id == EK_EAGAIN ? 0 : id;
    }
    size_t bytes = len > state->header_bytes ? len - state->header_bytes : 0;
    bool good = bytes >= FRAME_MIN && bytes <= size;
    if (good) {
        memcpy(out, state->received[id].frame, bytes);
    }
    give(state, (uint16_t)id);
    if (state->receive.added % PUBLISH_EVERY == 0) {
        publish(net, &state->receive, RECEIVE);
    }
    return good ? (int)bytes : EK_EIO;
}

static int link(const void *dev) {
    const struct virtio_net *net = dev;
    const struct virtio_net_state *state = net->state;
    if (!state->started || state->receive.broken || state->send.broken) {
        return 0;
    }
    if (!state->has_status) {
        return 1;
    }
    return net->bus->ops->config8(net->bus->dev, state->handle, CONFIG_STATUS) & S_LINK_UP;
}

const struct ek_eth_ops virtio_net_ops = {
    .init = init,
    .frame = frame,
    .send = send,
    .receive = receive,
    .link = link,
};
