// stellaris_enet.c: the Ethernet controller of Stellaris LM3S chips, through its two 2 KB FIFOs.
// Datasheet: TI LM3S6965, chapter Ethernet Controller; names in parentheses are its registers.
// Left out: timestamps, multicast filters, PHY interrupts (the link is asked for), LED pins. A
// frame that the MAC gives up after 16 collisions is lost without notice: protocols above repeat
// it.
#include "stellaris_enet.h"
#include "ek/assert.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { RIS = 0x00, IM = 0x04, RCTL = 0x08, TCTL = 0x0c, DATA = 0x10, IA0 = 0x14, IA1 = 0x18 };
enum { MCTL = 0x20, MDV = 0x24, MRXD = 0x30, NP = 0x34, TR = 0x38 };
enum { INT_RX = 1u << 0, INT_TXER = 1u << 1, INT_FOV = 1u << 3, INT_RXER = 1u << 4 };  // (MACRIS)
enum { RX_ENABLE = 1u << 0, RX_BAD_CRC = 1u << 3, RX_RESET_FIFO = 1u << 4 };           // (MACRCTL)
enum { TX_ENABLE = 1u << 0, TX_PAD = 1u << 1, TX_CRC = 1u << 2, TX_DUPLEX = 1u << 4 }; // (MACTCTL)
enum { MII_START = 1u << 0, MII_REGISTER_SHIFT = 3 };                                  // (MACMCTL)
enum { NP_COUNT = 0x3f, TR_NEW = 1u << 0 };

// PHY registers: status, identifier 1, diagnostic (MR1, MR2, MR18).
enum { PHY_STATUS = 1, PHY_ID = 2, PHY_DIAGNOSTIC = 18 };
enum { PHY_LINK = 1u << 2, PHY_DUPLEX = 1u << 11 };

// A full frame takes 1.3 ms at 10 Mbit/s, a PHY transaction 64 clocks of 2.5 MHz, 26 us. A poll
// takes over 40 ns at 50 MHz.
enum { TX_POLLS_MAX = 50000, MII_POLLS_MAX = 10000 };

// Length before the frame, check sequence behind it: both are counted in a received length.
enum { LENGTH_BYTES = 2, FCS_BYTES = 4 };

static int wait_clear(uintptr_t addr, uint32_t flag, uint32_t polls_max) {
    for (uint32_t polls = 0; polls < polls_max; polls++) {
        if (!(ek_read32(addr) & flag)) {
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

static void reset_receiver(const struct stellaris_enet *eth) {
    ek_write32(eth->base + RCTL, RX_BAD_CRC | RX_RESET_FIFO);
    ek_write32(eth->base + RCTL, RX_BAD_CRC | RX_ENABLE);
}

// A PHY register, 16 bits, or EK_ETIMEDOUT.
static int read_phy(const struct stellaris_enet *eth, uint32_t reg) {
    ek_write32(eth->base + MCTL, reg << MII_REGISTER_SHIFT | MII_START);
    int status = wait_clear(eth->base + MCTL, MII_START, MII_POLLS_MAX);
    return status < 0 ? status : (int)(ek_read32(eth->base + MRXD) & 0xffff);
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct stellaris_enet *eth = dev;
    ek_assert(eth->base != 0);
    ek_assert(eth->state != NULL);

    uint32_t low = mac[0] | mac[1] << 8 | mac[2] << 16 | (uint32_t)mac[3] << 24;
    uint32_t high = mac[4] | (uint32_t)mac[5] << 8;
    if ((low | high) == 0) {
        // Three bytes in each of the user registers; all ones where nobody programmed them.
        uint32_t user0 = ek_read32(eth->mac_registers);
        uint32_t user1 = ek_read32(eth->mac_registers + 4);
        if (user0 == UINT32_MAX || user1 == UINT32_MAX) {
            return EK_ENOENT;
        }
        low = (user0 & 0xffffff) | user1 << 24;
        high = user1 >> 8 & 0xffff;
        for (unsigned i = 0; i < 4; i++) {
            mac[i] = (uint8_t)(low >> 8 * i);
        }
        mac[4] = (uint8_t)high;
        mac[5] = (uint8_t)(high >> 8);
    }

    // The order of "Initialization and Configuration"; MDC must stay below 2.5 MHz (MACMDV).
    ek_write32(eth->base + IM, 0);
    ek_write32(eth->base + RIS, ek_read32(eth->base + RIS));
    ek_write32(eth->base + MDV, eth->clock_hz / (2 * 2500000));
    ek_write32(eth->base + IA0, low);
    ek_write32(eth->base + IA1, high);
    ek_write32(eth->base + TCTL, TX_CRC | TX_PAD | TX_DUPLEX | TX_ENABLE);
    reset_receiver(eth);
    ek_write32(eth->base + IM, INT_RX | INT_FOV | INT_RXER);
    return EK_OK;
}

// A transmitter that does not finish is restarted; what it held is lost.
static uint8_t *frame(const void *dev) {
    const struct stellaris_enet *eth = dev;
    if (wait_clear(eth->base + TR, TR_NEW, TX_POLLS_MAX) < 0) {
        uint32_t control = ek_read32(eth->base + TCTL);
        ek_write32(eth->base + TCTL, control & ~(uint32_t)TX_ENABLE);
        ek_write32(eth->base + TCTL, control);
        ek_write32(eth->base + RIS, INT_TXER);
        ek_counters.device_restarts++;
        return NULL;
    }
    return (uint8_t *)eth->state->words + LENGTH_BYTES;
}

static int send(const void *dev, size_t len) {
    const struct stellaris_enet *eth = dev;
    ek_assert(len >= 14);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    ek_write32(eth->base + RIS, INT_TXER); // also puts the FIFO's write position at its start
    // The length in the FIFO is that of the payload, behind the 14 bytes of header.
    eth->state->words[0] = (eth->state->words[0] & 0xffff0000) | (uint32_t)(len - 14);
    for (size_t i = 0; i < (LENGTH_BYTES + len + 3) / 4; i++) {
        ek_write32(eth->base + DATA, eth->state->words[i]);
    }
    ek_write32(eth->base + TR, TR_NEW);
    return EK_OK;
}

static int receive(const void *dev, uint8_t *frame_out, size_t size) {
    const struct stellaris_enet *eth = dev;
    uint32_t raised = ek_read32(eth->base + RIS);
    if (raised & (INT_FOV | INT_RXER)) {
        // What the FIFO holds cannot be trusted after either (MACRIS).
        reset_receiver(eth);
        ek_write32(eth->base + RIS, INT_FOV | INT_RXER);
        ek_counters.device_errors++;
        return EK_EIO;
    }
    if ((ek_read32(eth->base + NP) & NP_COUNT) == 0) {
        ek_write32(eth->base + RIS, INT_RX);
        // A frame may have come just before: its interrupt is gone, so take it now.
        if ((ek_read32(eth->base + NP) & NP_COUNT) == 0) {
            return 0;
        }
    }

    uint32_t word = ek_read32(eth->base + DATA);
    uint32_t stored = word & 0xffff;
    if (stored < LENGTH_BYTES + 14 + FCS_BYTES || stored > 2048) {
        reset_receiver(eth); // the FIFO is out of step
        return EK_EIO;
    }
    size_t len = stored - LENGTH_BYTES - FCS_BYTES;
    size_t room = len <= size ? len : 0;
    for (uint32_t at = 0; at < stored; at++) {
        if (at != 0 && at % 4 == 0) {
            word = ek_read32(eth->base + DATA);
        }
        if (at >= LENGTH_BYTES && at - LENGTH_BYTES < room) {
            frame_out[at - LENGTH_BYTES] = (uint8_t)(word >> 8 * (at % 4));
        }
    }
    return room != 0 ? (int)len : EK_EIO;
}

// Also tells the MAC what the PHY agreed on. QEMU has no PHY, every register reads 0; the lines to
// one that does not answer are all ones.
static int link(const void *dev) {
    const struct stellaris_enet *eth = dev;
    int id = read_phy(eth, PHY_ID);
    if (id == 0) {
        return 1;
    }
    int status = read_phy(eth, PHY_STATUS);
    int diagnostic = read_phy(eth, PHY_DIAGNOSTIC);
    if (id < 0 || status < 0 || diagnostic < 0) {
        return EK_ETIMEDOUT;
    }
    if (id == 0xffff) {
        return EK_ENOENT;
    }
    uint32_t duplex = diagnostic & PHY_DUPLEX ? TX_DUPLEX : 0;
    ek_write32(eth->base + TCTL, TX_CRC | TX_PAD | TX_ENABLE | duplex);
    return status & PHY_LINK ? 1 : 0;
}

const struct ek_eth_ops stellaris_enet_ops = {
    .init = init, .frame = frame, .send = send, .receive = receive, .link = link};
