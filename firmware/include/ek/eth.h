// ek/eth.h: what every Ethernet driver provides. Polled from the event loop; a device interrupt
// only wakes the processor (see arch/arch.h), so no driver has an interrupt handler.
#ifndef EK_ETH_H
#define EK_ETH_H
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

enum { EK_ETH_FRAME_MAX = 1514 }; // bytes: header and payload, without the frame check sequence

struct ek_eth_ops {
    // Reset and start the device. `mac` holds the station address to use, or zeros: then the
    // driver fills in the device's own. EK_OK, EK_ENOENT (no such device there), EK_EIO,
    // EK_ETIMEDOUT.
    int (*init)(const void *dev, uint8_t mac[6]);
    // Where the next outgoing frame is to be written, EK_ETH_FRAME_MAX bytes of room; NULL while
    // no room is free. Valid until send().
    uint8_t *(*frame)(const void *dev);
    // Send the `len` (14 to EK_ETH_FRAME_MAX) bytes at frame(). Short frames are padded by the
    // device or driver. EK_OK; EK_EIO or EK_ETIMEDOUT if the frame was lost.
    int (*send)(const void *dev, size_t len);
    // Take one received frame into `frame` (room for `size` bytes, at least EK_ETH_FRAME_MAX);
    // returns its length, 0 if there is none; EK_EIO when a damaged or oversized one was dropped.
    // A return of 0 also means that the device's interrupt is acknowledged and will come again.
    int (*receive)(const void *dev, uint8_t *frame, size_t size);
    // 1 when the link is up, 0 when it is down; 1 where the device cannot tell. EK_ENOENT,
    // EK_ETIMEDOUT, EK_EIO: its PHY, or all of it, is not there or does not answer. Asked again,
    // the driver tries to start it anew.
    int (*link)(const void *dev);
};

struct ek_eth {
    const struct ek_eth_ops *ops;
    const void *dev;
};
#endif
