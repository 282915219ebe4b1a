// bcm_genet.h: instance data of the GENET driver, filled in by the generated devices.c, and what
// its four files share.
#ifndef EK_BCM_GENET_H
#define EK_BCM_GENET_H
#include <stdbool.h>
#include "ek/eth.h"

enum {
    BCM_GENET_LINE = 64,     // bytes: the cache line of a Cortex-A72
    BCM_GENET_RX_COUNT = 32, // powers of two, for indices that run freely in 16 bits
    BCM_GENET_TX_COUNT = 8,
    BCM_GENET_MESSAGE = 16,  // words: a cache line
    BCM_GENET_BUFFER = 2048, // bytes: two of alignment and the longest frame, in whole lines
};

// Nothing that the device writes shares a cache line with something that the processor writes.
struct bcm_genet_state {
    _Alignas(BCM_GENET_LINE) uint8_t rx_data[BCM_GENET_RX_COUNT][BCM_GENET_BUFFER];
    _Alignas(BCM_GENET_LINE) uint8_t tx_data[BCM_GENET_TX_COUNT][BCM_GENET_BUFFER];
    _Alignas(BCM_GENET_LINE) uint32_t message[BCM_GENET_MESSAGE]; // to the firmware, and back
    _Alignas(BCM_GENET_LINE) uint8_t mac[6];
    bool phy_ready;    // it has been reset and negotiates
    uint8_t mode;      // BCM_GENET_* below, as the MAC is set; 0: no link yet
    uint16_t rx_next;  // consumer index of the receive ring
    uint16_t tx_next;  // producer index of the transmit ring
    uint16_t rx_drops; // frames that found the ring full, as the device has counted them
};

struct bcm_genet {
    uintptr_t base;
    uintptr_t bridge;  // of the same chip, which says that it is one; or 0
    uintptr_t mailbox; // of the firmware, which is asked for an address; or 0
    uint8_t phy;       // its address
    struct bcm_genet_state *state;
};
extern const struct ek_eth_ops bcm_genet_ops;

// bcm_genet_ring.c. Stop both DMA engines; they are given up on after a while.
void bcm_genet_stop_rings(const struct bcm_genet *eth);
// Give all buffers to the device and start both engines, which must be stopped.
void bcm_genet_start_rings(const struct bcm_genet *eth);
// The buffer of the next frame to send; NULL: none is free.
uint8_t *bcm_genet_room(const struct bcm_genet *eth);
void bcm_genet_send(const struct bcm_genet *eth, size_t len);
// Like receive() of ek/eth.h; EK_ETIMEDOUT: the ring is out of order.
int bcm_genet_receive(const struct bcm_genet *eth, uint8_t *frame, size_t size);

// bcm_genet_mac.c. The board's address, as its firmware knows it; false: it does not answer.
bool bcm_genet_ask_mac(const struct bcm_genet *eth, uint8_t mac[6]);

// bcm_genet_phy.c. A mode: what the two ends agreed on; the speed as the MAC has it.
enum { BCM_GENET_UP = 1u << 0, BCM_GENET_FULL = 1u << 1, BCM_GENET_SPEED_SHIFT = 2 };
enum { BCM_GENET_10M = 0, BCM_GENET_100M = 1, BCM_GENET_1000M = 2 };
// Reset the PHY and let it negotiate. EK_OK, EK_ENOENT (nobody there), EK_ETIMEDOUT.
int bcm_genet_phy_start(const struct bcm_genet *eth);
// The mode; 0 when the link is down. EK_ENOENT, EK_ETIMEDOUT, EK_EIO.
int bcm_genet_phy_mode(const struct bcm_genet *eth);
#endif
