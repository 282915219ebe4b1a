// bcm_genet.c: the Ethernet MAC of a BCM2711 (GENET v5). Its rings and its PHY have files of their
// own.
// No public data sheet. Registers and their order are those that Linux (bcmgenet.c, bcmmii.c) and
// U-Boot (bcmgenet.c) have in common; where they differ, a comment says so.
// Left out: status blocks and checksums of the MAC, pause frames, filters of more than the own
// address and all groups, 64-byte padding by the MAC, wake-up by a frame, energy efficiency.
#include <string.h>
#include "bcm_genet.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/log.h"
#include "ek/mmio.h"

enum { BRIDGE_ID = 0x20 };
#define BRIDGE_IS 0x62726467u // "brdg"
enum { SYS_REV_CTRL = 0x000, SYS_PORT_CTRL = 0x004, RBUF_FLUSH_CTRL = 0x008 };
enum { REV_MAJOR_V5 = 6 };  // bits 24 to 27
enum { PORT_EXT_GPHY = 3 }; // an external PHY of 1000 Mbit/s
enum { RBUF_FLUSH = 1u << 1 };

enum { RGMII_OOB_CTRL = 0x08c };
enum {
    RGMII_LINK = 1u << 4,
    OOB_DISABLE = 1u << 5,
    RGMII_MODE_EN = 1u << 6,
    ID_MODE_DIS = 1u << 16
};

// Interrupts of ring 16 are in the first of two controllers (INTRL2_0).
enum { INTRL2_0 = 0x200, INTRL2_1 = 0x240, INTR_CLEAR = 0x08, MASK_SET = 0x10, MASK_CLEAR = 0x14 };
enum { RX_DONE = 1u << 13 };

enum { RBUF_CTRL = 0x300, RBUF_64B_EN = 1u << 0, RBUF_ALIGN_2B = 1u << 1 };
enum { RBUF_CHK_CTRL = 0x314, RBUF_TBUF_SIZE_CTRL = 0x3b4, TBUF_CTRL = 0x600, HFB_CTRL = 0xfc00 };

enum { UMAC_CMD = 0x808, UMAC_MAC0 = 0x80c, UMAC_MAC1 = 0x810, UMAC_MAX_FRAME_LEN = 0x814 };
enum { UMAC_TX_FLUSH = 0xb34, UMAC_MDF_CTRL = 0xe50 };
enum { // (UMAC_CMD)
    TX_EN = 1u << 0,
    RX_EN = 1u << 1,
    SPEED_SHIFT = 2,
    RX_PAUSE_IGNORE = 1u << 8,
    HALF_DUPLEX = 1u << 10,
    SW_RESET = 1u << 13,
    LOCAL_LOOP = 1u << 15,
    TX_PAUSE_IGNORE = 1u << 28,
};

enum { FRAME_MAX = 1536 }; // bytes with the check sequence; the rings' buffers have room for more
enum { FRAME_MIN = 60 };   // without its check sequence
enum { SETTLE_US = 10 };   // what Linux and U-Boot wait after each step of a reset
// A full frame takes 1.2 ms at 10 Mbit/s, and up to 16 attempts in half duplex.
enum { TX_LIMIT_US = 20000 };

static void write(const struct bcm_genet *eth, uint32_t reg, uint32_t value) {
    ek_write32(eth->base + reg, value);
}

static void change(const struct bcm_genet *eth, uint32_t reg, uint32_t clear, uint32_t set) {
    ek_write32(eth->base + reg, (ek_read32(eth->base + reg) & ~clear) | set);
}

static void settle(void) {
    for (uint64_t end_us = ek_clock_us() + SETTLE_US; ek_clock_us() < end_us;) {
    }
}

// Speed and duplex of the link, and go.
static void set_mode(const struct bcm_genet *eth) {
    unsigned mode = eth->state->mode;
    if (mode == 0) {
        return;
    }
    change(eth, RGMII_OOB_CTRL, OOB_DISABLE, RGMII_LINK);
    write(eth, UMAC_CMD,
          mode >> BCM_GENET_SPEED_SHIFT << SPEED_SHIFT | (mode & BCM_GENET_FULL ? 0 : HALF_DUPLEX) |
              RX_PAUSE_IGNORE | TX_PAUSE_IGNORE | TX_EN | RX_EN);
}

// Empty the receive buffer, then the MAC, then the transmit buffer. Its loop gives the MAC a
// receive clock, without which the reset does not end, whatever the PHY does.
static void reset(const struct bcm_genet *eth) {
    write(eth, UMAC_CMD, 0);
    bcm_genet_stop_rings(eth);
    change(eth, RBUF_FLUSH_CTRL, 0, RBUF_FLUSH);
    settle();
    write(eth, RBUF_FLUSH_CTRL, 0);
    settle();
    write(eth, UMAC_CMD, SW_RESET | LOCAL_LOOP);
    settle();
    write(eth, UMAC_CMD, 0);
    write(eth, UMAC_TX_FLUSH, 1);
    settle();
    write(eth, UMAC_TX_FLUSH, 0);
}

// Everything anew, in the mode of `state`; frames under way are lost. Whoever had the device before
// (the firmware's network boot, another system) may have left any of this.
static void restart(const struct bcm_genet *eth) {
    reset(eth);
    write(eth, INTRL2_0 + MASK_SET, UINT32_MAX);
    write(eth, INTRL2_1 + MASK_SET, UINT32_MAX);
    write(eth, INTRL2_0 + INTR_CLEAR, UINT32_MAX);
    write(eth, SYS_PORT_CTRL, PORT_EXT_GPHY);
    // The MAC delays its transmit clock, the PHY the receive clock: Linux's `rgmii-rxid`, as its
    // device tree has it for this board. (U-Boot sets ID_MODE_DIS, which Linux calls a fault.)
    change(eth, RGMII_OOB_CTRL, ID_MODE_DIS | OOB_DISABLE, RGMII_MODE_EN);
    const uint8_t *mac = eth->state->mac;
    write(eth, UMAC_MAC0,
          (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3]);
    write(eth, UMAC_MAC1, (uint32_t)mac[4] << 8 | mac[5]);
    write(eth, UMAC_MAX_FRAME_LEN, FRAME_MAX);
    write(eth, UMAC_MDF_CTRL, 0); // no address table: the own address and groups
    // Without the hardware filter block everything goes to the default ring, number 16. Newer Linux
    // receives on ring 0, through a filter that matches all: more to set up, for queues not used.
    write(eth, HFB_CTRL, 0);
    write(eth, TBUF_CTRL, 0);     // no status block before a frame to send
    write(eth, RBUF_CHK_CTRL, 0); // nor checksums
    change(eth, RBUF_CTRL, RBUF_64B_EN, RBUF_ALIGN_2B);
    write(eth, RBUF_TBUF_SIZE_CTRL, 1);
    bcm_genet_start_rings(eth);
    write(eth, INTRL2_0 + MASK_CLEAR, RX_DONE);
    set_mode(eth);
}

// What the firmware left in the MAC, or else says; false: nothing.
static bool find_mac(const struct bcm_genet *eth, uint8_t mac[6]) {
    uint32_t high = ek_read32(eth->base + UMAC_MAC0), low = ek_read32(eth->base + UMAC_MAC1);
    for (unsigned i = 0; i < 6; i++) {
        mac[i] = (uint8_t)(i < 4 ? high >> (24 - 8 * i) : low >> (40 - 8 * i));
    }
    if ((high | (low & 0xffff)) != 0 && !(mac[0] & 1)) {
        return true;
    }
    return eth->mailbox != 0 && bcm_genet_ask_mac(eth, mac);
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct bcm_genet *eth = dev;
    ek_assert(eth->base != 0);
    ek_assert(eth->state != NULL);
    ek_assert((uintptr_t)eth->state % BCM_GENET_LINE == 0);
    // QEMU's model has neither; it answers an access to a GENET with an abort.
    if (eth->bridge != 0 && ek_read32(eth->bridge + BRIDGE_ID) != BRIDGE_IS) {
        return EK_ENOENT;
    }
    if ((ek_read32(eth->base + SYS_REV_CTRL) >> 24 & 0xf) != REV_MAJOR_V5) {
        return EK_ENOENT;
    }
    static const uint8_t none[6];
    if (memcmp(mac, none, sizeof none) == 0 && !find_mac(eth, mac)) {
        memset(mac, 0, sizeof none);
        ek_log("genet: the firmware left no address");
        return EK_ENOENT;
    }
    memcpy(eth->state->mac, mac, sizeof eth->state->mac);
    eth->state->mode = 0;
    restart(eth);
    eth->state->phy_ready = bcm_genet_phy_start(eth) == EK_OK;
    return EK_OK;
}

// A transmitter that does not finish is restarted; what it held is lost. Without a link it keeps
// what it has, and is not waited for.
static uint8_t *frame(const void *dev) {
    const struct bcm_genet *eth = dev;
    for (uint64_t end_us = ek_clock_us() + TX_LIMIT_US;;) {
        uint8_t *room = bcm_genet_room(eth);
        if (room != NULL || eth->state->mode == 0) {
            return room;
        }
        if (ek_clock_us() >= end_us) {
            ek_counters.device_restarts++;
            restart(eth);
            return NULL;
        }
    }
}

static int send(const void *dev, size_t len) {
    const struct bcm_genet *eth = dev;
    ek_assert(len >= 14);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    if (len < FRAME_MIN) {
        memset(bcm_genet_room(eth) + len, 0, FRAME_MIN - len); // not what an earlier frame left
        len = FRAME_MIN;
    }
    bcm_genet_send(eth, len);
    return EK_OK;
}

static int receive(const void *dev, uint8_t *frame_out, size_t size) {
    const struct bcm_genet *eth = dev;
    int len = bcm_genet_receive(eth, frame_out, size);
    if (len == 0) {
        write(eth, INTRL2_0 + INTR_CLEAR, RX_DONE);
        // A frame may have come just before: its interrupt is gone, so take it now.
        len = bcm_genet_receive(eth, frame_out, size);
    }
    if (len == EK_ETIMEDOUT) {
        ek_counters.device_restarts++;
        restart(eth);
        return EK_EIO;
    }
    return len;
}

// Also tells the MAC what the PHY agreed on. A PHY that did not answer may have lost what it was
// told.
static int link(const void *dev) {
    const struct bcm_genet *eth = dev;
    int mode = eth->state->phy_ready ? bcm_genet_phy_mode(eth) : bcm_genet_phy_start(eth);
    eth->state->phy_ready = mode >= 0;
    if (mode < 0) {
        return mode;
    }
    if (mode != eth->state->mode) {
        eth->state->mode = (uint8_t)mode;
        if (mode == 0) {
            // What is sent meanwhile waits in the ring.
            change(eth, UMAC_CMD, TX_EN | RX_EN, 0);
            change(eth, RGMII_OOB_CTRL, RGMII_LINK, 0);
        } else {
            set_mode(eth);
        }
    }
    return mode != 0;
}

const struct ek_eth_ops bcm_genet_ops = {
    .init = init, .frame = frame, .send = send, .receive = receive, .link = link};
