// bcm_genet_phy.c: the PHY behind a GENET, a BCM54213PE, over the MAC's management interface.
// Documents: IEEE 802.3-2018, 22.2.4 (registers), 28 (negotiation) and 40.5 (1000BASE-T); Linux's
// brcmphy.h and broadcom.c for the clock delays.
// Left out: interrupts, fixed modes, 1000 Mbit/s in half duplex, which nothing has.
#include "bcm_genet.h"
#include "ek/clock.h"
#include "ek/mmio.h"

enum { MDIO_CMD = 0xe14 };
enum { START_BUSY = 1u << 29, READ_FAIL = 1u << 28, MDIO_READ = 2u << 26, MDIO_WRITE = 1u << 26 };
enum { PHY_SHIFT = 21, REG_SHIFT = 16 };

// Registers of every PHY (22.2.4), then the bits used.
enum { CONTROL = 0, STATUS = 1, IDENTIFIER = 2, ADVERTISED = 4, PARTNER = 5 };
enum { ADVERTISED_1000 = 9, PARTNER_1000 = 10 };
enum { CONTROL_RESET = 1u << 15, CONTROL_NEGOTIATE = 1u << 12, CONTROL_RESTART = 1u << 9 };
enum { STATUS_LINK = 1u << 2, STATUS_NEGOTIATED = 1u << 5 };
enum { CAN_100_FULL = 1u << 8, CAN_100 = 1u << 7, CAN_10_FULL = 1u << 6, CAN_10 = 1u << 5 };
enum { CAN_802_3 = 1 };
enum { CAN_1000_FULL = 1u << 9, PARTNER_1000_FULL = 1u << 11 }; // (40.5.1.1)

// Behind two registers of this PHY are many: a write selects one, for reading or for writing.
enum {
    AUXILIARY = 0x18,
    AUXILIARY_MISC = 7,
    AUXILIARY_READ = 7u << 12,
    AUXILIARY_WRITE = 1u << 15
};
enum { RXC_DELAY = 1u << 8, RGMII_MODE = 1u << 7 };
enum { SHADOW = 0x1c, SHADOW_CLOCK = 3u << 10, SHADOW_WRITE = 1u << 15, SHADOW_DATA = 0x3ff };
enum { TXC_DELAY = 1u << 9 };

// 64 bits at 2.5 MHz are 26 us; Linux allows 10 ms.
enum { MDIO_LIMIT_US = 10000 };
enum { RESET_LIMIT_US = 500000 }; // 22.2.4.1.1

static int management(const struct bcm_genet *eth, uint32_t command) {
    command |= (uint32_t)eth->phy << PHY_SHIFT;
    ek_write32(eth->base + MDIO_CMD, command);
    ek_write32(eth->base + MDIO_CMD, command | START_BUSY);
    for (uint64_t end_us = ek_clock_us() + MDIO_LIMIT_US;;) {
        uint32_t answer = ek_read32(eth->base + MDIO_CMD);
        if (!(answer & START_BUSY)) {
            bool failed = command & MDIO_READ && answer & READ_FAIL;
            return failed ? EK_EIO : (int)(answer & 0xffff);
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

static int read(const struct bcm_genet *eth, uint32_t reg) {
    return management(eth, MDIO_READ | reg << REG_SHIFT);
}

static int write(const struct bcm_genet *eth, uint32_t reg, uint32_t value) {
    return management(eth, MDIO_WRITE | reg << REG_SHIFT | value);
}

// The PHY delays the receive clock by 2 ns, and leaves the transmit clock to the MAC.
static int set_delays(const struct bcm_genet *eth) {
    (void)write(eth, AUXILIARY, AUXILIARY_READ | AUXILIARY_MISC);
    int misc = read(eth, AUXILIARY);
    (void)write(eth, SHADOW, SHADOW_CLOCK);
    int clock = read(eth, SHADOW);
    if (misc < 0 || clock < 0) {
        return EK_ETIMEDOUT;
    }
    (void)write(eth, AUXILIARY,
                AUXILIARY_WRITE | (uint32_t)misc | RXC_DELAY | RGMII_MODE | AUXILIARY_MISC);
    return write(eth, SHADOW,
                 SHADOW_WRITE | SHADOW_CLOCK |
                     ((uint32_t)clock & SHADOW_DATA & ~(uint32_t)TXC_DELAY));
}

int bcm_genet_phy_start(const struct bcm_genet *eth) {
    int id = read(eth, IDENTIFIER);
    if (id <= 0 || id == 0xffff) { // nobody drives the line
        return id == EK_ETIMEDOUT ? id : EK_ENOENT;
    }
    (void)write(eth, CONTROL, CONTROL_RESET);
    for (uint64_t end_us = ek_clock_us() + RESET_LIMIT_US;;) {
        int control = read(eth, CONTROL);
        if (control >= 0 && !(control & CONTROL_RESET)) {
            break;
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
    int status = set_delays(eth);
    if (status < 0) {
        return status;
    }
    (void)write(eth, ADVERTISED, CAN_100_FULL | CAN_100 | CAN_10_FULL | CAN_10 | CAN_802_3);
    (void)write(eth, ADVERTISED_1000, CAN_1000_FULL);
    status = write(eth, CONTROL, CONTROL_NEGOTIATE | CONTROL_RESTART);
    return status < 0 ? status : EK_OK;
}

// The best that both can; a partner that does not negotiate shows its speed only (28.2.3.1).
static int best(unsigned common, unsigned partner_1000) {
    if (partner_1000 & PARTNER_1000_FULL) {
        return BCM_GENET_UP | BCM_GENET_FULL | BCM_GENET_1000M << BCM_GENET_SPEED_SHIFT;
    }
    if (common & (CAN_100_FULL | CAN_100)) {
        return BCM_GENET_UP | (common & CAN_100_FULL ? BCM_GENET_FULL : 0) |
               BCM_GENET_100M << BCM_GENET_SPEED_SHIFT;
    }
    return BCM_GENET_UP | (common & CAN_10_FULL ? BCM_GENET_FULL : 0) |
           BCM_GENET_10M << BCM_GENET_SPEED_SHIFT;
}

int bcm_genet_phy_mode(const struct bcm_genet *eth) {
    int status = read(eth, STATUS);
    if (status >= 0 && !(status & STATUS_LINK)) {
        status = read(eth, STATUS); // the first look shows a loss since the last (22.2.4.2.13)
    }
    if (status < 0) {
        return status;
    }
    if (status == 0 || status == 0xffff) {
        return EK_ENOENT;
    }
    if (!(status & STATUS_LINK) || !(status & STATUS_NEGOTIATED)) {
        return 0;
    }
    int ours = read(eth, ADVERTISED), theirs = read(eth, PARTNER);
    int gigabit = read(eth, PARTNER_1000);
    if (ours < 0 || theirs < 0 || gigabit < 0) {
        return EK_ETIMEDOUT;
    }
    return best((unsigned)ours & (unsigned)theirs, (unsigned)gigabit);
}
