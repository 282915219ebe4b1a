// lan9118.c: SMSC LAN9118 and its relatives with the same registers, through their FIFOs.
// Datasheet: SMSC LAN9118, revision 1.5; names in parentheses are its registers, numbers its
// sections.
// Left out: flow control, multicast filters, checksum offload, wake on LAN, LED pins, writing the
// EEPROM. Left to the board: bus timing. A bus that reads twice within 165 ns would need the dummy
// reads of 6.1.
//
// A damaged frame is read out of its FIFO, not skipped with RX_FFWD (3.13.1.1): that is for frames
// of four words and more only, saves nothing worth having, and QEMU 7.2 loses its place by it.
#include "lan9118.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { RX_DATA = 0x00, TX_DATA = 0x20, RX_STATUS = 0x40, TX_STATUS = 0x48, IRQ_CFG = 0x54 };
enum { INT_STS = 0x58, INT_EN = 0x5c, BYTE_TEST = 0x64, RX_CFG = 0x6c, TX_CFG = 0x70 };
enum { HW_CFG = 0x74, RX_FIFO_INF = 0x7c, TX_FIFO_INF = 0x80, PMT_CTRL = 0x84 };
enum { MAC_CSR_CMD = 0xa4, MAC_CSR_DATA = 0xa8, E2P_CMD = 0xb0 };
#define BYTE_ORDER 0x87654321u                                                // (BYTE_TEST)
enum { IRQ_ENABLE = 1u << 8, IRQ_HIGH = 1u << 4, IRQ_PUSH_PULL = 1u << 0 };   // (IRQ_CFG)
enum { RX_STATUS_LEVEL = 1u << 3, TX_ERROR = 1u << 13, RX_ERROR = 1u << 14 }; // (INT_STS)
enum { RX_STOPPED = 1u << 24 };                                               // (INT_STS)
enum { RX_DUMP = 1u << 15 };                                                  // (RX_CFG)
enum { TX_DUMP = 3u << 14, TX_ON = 1u << 1, TX_STOP = 1u << 0 };              // (TX_CFG)
enum { MUST_BE_ONE = 1u << 20, TX_FIFO_5K = 5u << 16 };                       // (HW_CFG)
enum { RESET_FAILED = 1u << 1, SOFT_RESET = 1u << 0 };                        // (HW_CFG)
enum { PHY_RESET = 1u << 10, READY = 1u << 0 };                               // (PMT_CTRL)
enum { FIRST_AND_LAST = 3u << 12 };                                           // (3.12.2)
enum { STATUS_ERROR = 1u << 15 };                                             // (3.12.4, 3.13.3)
#define BUSY (1u << 31) // (MAC_CSR_CMD, E2P_CMD)
enum { CSR_READ = 1u << 30 };

// MAC registers, by MAC_CSR_CMD.
enum { MAC_CR = 1, ADDRH = 2, ADDRL = 3, MII_ACC = 6, MII_DATA = 7 };
enum { FULL_DUPLEX = 1u << 20, TX_ENABLE = 1u << 3, RX_ENABLE = 1u << 2 }; // (MAC_CR)
enum { MII_BUSY = 1u << 0, MII_WRITE = 1u << 1, MII_REGISTER_SHIFT = 6 };  // (MII_ACC)
enum { INTERNAL_PHY = 1u << 11 };

// PHY registers: control, status, advertisement, the partner's (IEEE 802.3, 22.2.4 and 28.2.4).
enum { PHY_BCR = 0, PHY_BSR = 1, PHY_ANAR = 4, PHY_ANLPAR = 5 };
enum { BCR_NEGOTIATE = 1u << 12, BCR_RESTART = 1u << 9, BSR_LINK = 1u << 2 };
enum { FULL_100 = 1u << 8, HALF_100 = 1u << 7, FULL_10 = 1u << 6, HALF_10 = 1u << 5 };
enum { SELECTOR_802_3 = 1 };

// The EEPROM is read within some milliseconds after power came, resets end within 100 us, register
// accesses within 64 clocks of the PHY's 2.5 MHz, a frame within 1.3 ms. One generous limit.
enum { WAIT_MAX_US = 100000 };
// A full FIFO, with the 2 KB behind it, has room for a frame again within four at 10 Mbit/s.
enum { TX_WAIT_US = 6000 };
enum { COMMAND_BYTES = 8, FCS_BYTES = 4, STORED_MAX = 2560 }; // (3.13.3, receive watchdog)

// EK_OK as soon as `bits` of a register are `wanted`, else EK_ETIMEDOUT.
static int wait_for(const struct lan9118 *eth, uint32_t reg, uint32_t bits, uint32_t wanted) {
    uint64_t end_us = ek_clock_us() + WAIT_MAX_US;
    while ((ek_read32(eth->base + reg) & bits) != wanted) {
        if (ek_clock_us() > end_us) {
            return EK_ETIMEDOUT;
        }
    }
    return EK_OK;
}

// A MAC register read, 0 if the MAC does not answer.
static uint32_t read_mac(const struct lan9118 *eth, uint32_t reg) {
    ek_write32(eth->base + MAC_CSR_CMD, BUSY | CSR_READ | reg);
    return wait_for(eth, MAC_CSR_CMD, BUSY, 0) < 0 ? 0 : ek_read32(eth->base + MAC_CSR_DATA);
}

static void write_mac(const struct lan9118 *eth, uint32_t reg, uint32_t value) {
    ek_write32(eth->base + MAC_CSR_DATA, value);
    ek_write32(eth->base + MAC_CSR_CMD, BUSY | reg);
    (void)wait_for(eth, MAC_CSR_CMD, BUSY, 0); // without a MAC there is no link either
}

// One transaction with the PHY; `access` holds register and direction. False: it does not end.
static bool use_mii(const struct lan9118 *eth, uint32_t access) {
    write_mac(eth, MII_ACC, INTERNAL_PHY | access | MII_BUSY);
    uint64_t end_us = ek_clock_us() + WAIT_MAX_US;
    while (read_mac(eth, MII_ACC) & MII_BUSY) {
        if (ek_clock_us() > end_us) {
            return false;
        }
    }
    return true;
}

// A PHY register read, 0 if MAC or PHY does not answer.
static uint32_t read_phy(const struct lan9118 *eth, uint32_t reg) {
    return use_mii(eth, reg << MII_REGISTER_SHIFT) ? read_mac(eth, MII_DATA) & 0xffff : 0;
}

static void write_phy(const struct lan9118 *eth, uint32_t reg, uint32_t value) {
    write_mac(eth, MII_DATA, value);
    (void)use_mii(eth, reg << MII_REGISTER_SHIFT | MII_WRITE);
}

// Both halves, in the order that a PHY in power-down needs: its clocks drive the soft reset.
static int reset(const struct lan9118 *eth) {
    ek_write32(eth->base + BYTE_TEST, 0); // ends a power-saving state (PMT_CTRL)
    if (ek_read32(eth->base + BYTE_TEST) != BYTE_ORDER) {
        return EK_ENOENT; // not this chip, or not wired for 32-bit little-endian accesses
    }
    int status = wait_for(eth, PMT_CTRL, READY, READY);
    if (status >= 0) {
        ek_write32(eth->base + PMT_CTRL, PHY_RESET);
        status = wait_for(eth, PMT_CTRL, PHY_RESET, 0);
    }
    if (status >= 0) {
        ek_write32(eth->base + HW_CFG, SOFT_RESET);
        status = wait_for(eth, HW_CFG, SOFT_RESET, 0);
    }
    if (status >= 0 && ek_read32(eth->base + HW_CFG) & RESET_FAILED) {
        status = EK_ETIMEDOUT;
    }
    return status < 0 ? status : wait_for(eth, E2P_CMD, BUSY, 0); // the station address is loaded
}

static int set_address(const struct lan9118 *eth, uint8_t mac[6]) {
    uint32_t low = mac[0] | mac[1] << 8 | mac[2] << 16 | (uint32_t)mac[3] << 24;
    uint32_t high = mac[4] | (uint32_t)mac[5] << 8;
    if ((low | high) != 0) {
        write_mac(eth, ADDRH, high);
        write_mac(eth, ADDRL, low);
        return EK_OK;
    }
    low = read_mac(eth, ADDRL);
    high = read_mac(eth, ADDRH);
    if ((low | high) == 0 || low & 1) { // all ones without an EEPROM; odd: no station's address
        return EK_ENOENT;
    }
    for (unsigned i = 0; i < 6; i++) {
        mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
    }
    return EK_OK;
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct lan9118 *eth = dev;
    ek_assert(eth->base != 0);
    ek_assert(eth->state != NULL);
    int status = reset(eth);
    if (status >= 0) {
        status = set_address(eth, mac);
    }
    if (status < 0) {
        return status;
    }
    ek_write32(eth->base + HW_CFG, MUST_BE_ONE | TX_FIFO_5K);
    uint32_t pin = eth->irq_active_high ? IRQ_HIGH | IRQ_PUSH_PULL : 0;
    ek_write32(eth->base + IRQ_CFG, IRQ_ENABLE | pin);

    write_phy(eth, PHY_ANAR, FULL_100 | HALF_100 | FULL_10 | HALF_10 | SELECTOR_802_3);
    write_phy(eth, PHY_BCR, BCR_NEGOTIATE | BCR_RESTART);

    ek_write32(eth->base + TX_CFG, TX_ON);
    write_mac(eth, MAC_CR, TX_ENABLE | RX_ENABLE); // link() knows about the duplex later
    // The first status in the RX FIFO interrupts: its level is 0 after a reset (FIFO_INT).
    ek_write32(eth->base + INT_EN, RX_STATUS_LEVEL | RX_ERROR);
    return EK_OK;
}

// What the transmitter holds is lost.
static void restart_transmitter(const struct lan9118 *eth) {
    ek_counters.device_restarts++;
    ek_write32(eth->base + TX_CFG, TX_STOP | TX_ON);
    (void)wait_for(eth, TX_CFG, TX_STOP, 0);
    ek_write32(eth->base + TX_CFG, TX_DUMP);
    ek_write32(eth->base + INT_STS, TX_ERROR);
    ek_write32(eth->base + TX_CFG, TX_ON);
}

static uint8_t *frame(const void *dev) {
    const struct lan9118 *eth = dev;
    // A full status FIFO would stop the transmitter (3.12.4).
    uint32_t statuses = ek_read32(eth->base + TX_FIFO_INF) >> 16 & 0xff;
    for (; statuses > 0; statuses--) {
        if (ek_read32(eth->base + TX_STATUS) & STATUS_ERROR) { // collisions, no carrier, underrun
            ek_counters.device_errors++;
        }
    }
    if (ek_read32(eth->base + INT_STS) & TX_ERROR) { // the FIFO was overrun, or is out of step
        restart_transmitter(eth);
    }
    uint64_t end_us = ek_clock_us() + TX_WAIT_US;
    while ((ek_read32(eth->base + TX_FIFO_INF) & 0xffff) <
           sizeof eth->state->words + COMMAND_BYTES) {
        if (ek_clock_us() > end_us) {
            restart_transmitter(eth);
            return NULL;
        }
    }
    return (uint8_t *)eth->state->words;
}

static int send(const void *dev, size_t len) {
    const struct lan9118 *eth = dev;
    ek_assert(len >= 14);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    ek_write32(eth->base + TX_DATA, FIRST_AND_LAST | (uint32_t)len);
    ek_write32(eth->base + TX_DATA, (uint32_t)len); // pads and adds the check sequence
    for (size_t i = 0; i < (len + 3) / 4; i++) {
        ek_write32(eth->base + TX_DATA, eth->state->words[i]);
    }
    return EK_OK;
}

// What the receiver holds is lost (3.13.1.2, 3.13.4).
static int restart_receiver(const struct lan9118 *eth) {
    ek_counters.device_restarts++;
    uint32_t control = read_mac(eth, MAC_CR);
    write_mac(eth, MAC_CR, control & ~(uint32_t)RX_ENABLE);
    (void)wait_for(eth, INT_STS, RX_STOPPED, RX_STOPPED);
    ek_write32(eth->base + RX_CFG, RX_DUMP);
    (void)wait_for(eth, RX_CFG, RX_DUMP, 0);
    ek_write32(eth->base + INT_STS, RX_STOPPED | RX_ERROR);
    write_mac(eth, MAC_CR, control | RX_ENABLE);
    return EK_EIO;
}

static uint32_t frames_waiting(const struct lan9118 *eth) {
    return ek_read32(eth->base + RX_FIFO_INF) >> 16 & 0xff;
}

static int receive(const void *dev, uint8_t *frame_out, size_t size) {
    const struct lan9118 *eth = dev;
    if (ek_read32(eth->base + INT_STS) & RX_ERROR) {
        return restart_receiver(eth);
    }
    if (frames_waiting(eth) == 0) {
        ek_write32(eth->base + INT_STS, RX_STATUS_LEVEL);
        // A frame may have come just before: its interrupt is gone, so take it now.
        if (frames_waiting(eth) == 0) {
            return 0;
        }
    }
    uint32_t status = ek_read32(eth->base + RX_STATUS);
    uint32_t stored = status >> 16 & 0x3fff; // with the check sequence
    if (stored > STORED_MAX) {
        return restart_receiver(eth); // the FIFOs are out of step
    }
    bool good = !(status & STATUS_ERROR) && stored >= 14 + FCS_BYTES && stored - FCS_BYTES <= size;
    size_t room = good ? stored - FCS_BYTES : 0;
    for (size_t at = 0; at < stored; at += 4) {
        uint32_t word = ek_read32(eth->base + RX_DATA);
        for (size_t i = at; i < at + 4 && i < room; i++, word >>= 8) {
            frame_out[i] = (uint8_t)word;
        }
    }
    if (!good) {
        ek_counters.device_errors++;
        return EK_EIO;
    }
    return (int)room;
}

// Also tells the MAC what was negotiated. With a partner that does not negotiate, both lists have
// what its signal showed, half duplex (IEEE 802.3, 28.2.3.1).
static int link(const void *dev) {
    const struct lan9118 *eth = dev;
    uint32_t status = read_phy(eth, PHY_BSR);
    if (status == 0 || status == 0xffff) { // no PHY has this: it says what it can do
        return EK_ENOENT;
    }
    if (!(status & BSR_LINK)) {
        return 0;
    }
    uint32_t both = read_phy(eth, PHY_ANAR) & read_phy(eth, PHY_ANLPAR);
    bool full = both & FULL_100 || (!(both & HALF_100) && both & FULL_10);
    write_mac(eth, MAC_CR, TX_ENABLE | RX_ENABLE | (full ? FULL_DUPLEX : 0u));
    return 1;
}

const struct ek_eth_ops lan9118_ops = {
    .init = init, .frame = frame, .send = send, .receive = receive, .link = link};
