// virtio_net.h: instance data of the virtio network driver, filled in by the generated devices.c.
#ifndef EK_VIRTIO_NET_H
#define EK_VIRTIO_NET_H
#include "ek/eth.h"
#include "ek/virtio.h"

// Sixteen full frames are a TCP window of 23 KB on the way in; eight out are twice what lwIP sends
// before it waits for an acknowledgement.
enum { VIRTIO_NET_RECEIVE_BUFFERS = EK_VIRTQUEUE_SIZE, VIRTIO_NET_SEND_BUFFERS = 8 };

// The device's header ends where the frame begins. A frame begins 2 bytes off a word, so that its
// IP header, 14 bytes on, is on one, and copies are aligned.
struct virtio_net_buffer {
    alignas(8) uint8_t room[14];
    uint8_t frame[EK_ETH_FRAME_MAX];
};

struct virtio_net_state {
    struct ek_virtqueue receive, send;
    uintptr_t handle;
    uint32_t header_bytes;
    uint16_t frame;  // send buffer given by frame()
    bool has_status; // the device tells the state of the link
    bool started;
    struct virtio_net_buffer received[VIRTIO_NET_RECEIVE_BUFFERS];
    struct virtio_net_buffer sent[VIRTIO_NET_SEND_BUFFERS];
};

struct virtio_net {
    const struct ek_virtio *bus;
    uint32_t nth; // which of several such devices on the bus
    struct virtio_net_state *state;
};
extern const struct ek_eth_ops virtio_net_ops;
#endif
