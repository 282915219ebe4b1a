// imx_enet.h: instance data of the ENET driver, filled in by the generated devices.c.
#ifndef EK_IMX_ENET_H
#define EK_IMX_ENET_H
#include <stdbool.h>
#include "ek/eth.h"

enum {
    IMX_ENET_LINE = 64,      // bytes: the largest cache line of the processors that have an ENET
    IMX_ENET_LINE_COUNT = 8, // descriptors in a line
    IMX_ENET_RX_COUNT = 32,  // buffers: 24 of them are the device's at any time, 4 full frames
    IMX_ENET_RX_BYTES = 256, // the least that the manual advises (MRBR)
    IMX_ENET_TX_BYTES = 1536,
};

// As the device has it ("Legacy buffer descriptors"), with ECR.DBSWP.
struct imx_enet_descriptor {
    volatile uint16_t len; // bytes
    volatile uint16_t control;
    uint32_t buffer;
};

// Nothing that the device writes shares a cache line with something that the processor writes.
struct imx_enet_state {
    _Alignas(IMX_ENET_LINE) struct imx_enet_descriptor rx[IMX_ENET_RX_COUNT];
    _Alignas(IMX_ENET_LINE) struct imx_enet_descriptor tx[IMX_ENET_LINE_COUNT]; // the first is used
    _Alignas(IMX_ENET_LINE) uint8_t rx_data[IMX_ENET_RX_COUNT][IMX_ENET_RX_BYTES];
    _Alignas(IMX_ENET_LINE) uint8_t tx_data[IMX_ENET_TX_BYTES];
    _Alignas(IMX_ENET_LINE) uint8_t mac[6];
    uint8_t mode;   // IMX_ENET_* below, as the MAC is set
    uint8_t next;   // the next descriptor to look at
    bool phy_ready; // it has been reset and negotiates
};

struct imx_enet {
    uintptr_t base;
    uint32_t clock_hz; // module clock
    uint8_t phy;       // its address
    const uint32_t
        *phy_setup; // of its registers: number, bits to clear, bits to set, ...; 0 ends it
    bool rmii;
    bool rgmii;
    uintptr_t mac_fuses; // low word, then, 16 bytes on, high word; or 0
    uintptr_t mac_id;    // two words, or 0: the last 48 bits become a local address
    struct imx_enet_state *state;
};
extern const struct ek_eth_ops imx_enet_ops;

// imx_enet_phy.c. A mode: what the two ends agreed on.
enum {
    IMX_ENET_UP = 1u << 0,
    IMX_ENET_FULL = 1u << 1,
    IMX_ENET_10M = 1u << 2,
    IMX_ENET_1G = 1u << 3,
};
// Reset the PHY and let it negotiate. EK_OK, EK_ENOENT (nobody there), EK_ETIMEDOUT.
int imx_enet_phy_start(const struct imx_enet *eth);
// The mode; 0 when the link is down. EK_ENOENT, EK_ETIMEDOUT.
int imx_enet_phy_mode(const struct imx_enet *eth);
#endif
