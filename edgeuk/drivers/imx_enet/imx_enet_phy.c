// imx_enet_phy.c: the PHY behind an ENET, over its MII management interface.
// Documents: IEEE 802.3-2018, 22.2.4 (registers), 28 and 40.5 (negotiation); NXP IMX6ULRM, chapter
// ENET (MMFR). Left out: interrupts, fixed modes, 1000 Mbit/s in half duplex.
#include "ek/clock.h"
#include "ek/mmio.h"
#include "imx_enet.h"

enum { EIR = 0x004, EIR_MII = 1u << 23, MMFR = 0x040 };
enum { MMFR_READ = 2u << 28, MMFR_WRITE = 1u << 28, MMFR_TURNAROUND = 2u << 16 };
#define MMFR_START (1u << 30)

// Registers of every PHY (22.2.4), then the bits used.
enum { CONTROL = 0, STATUS = 1, IDENTIFIER = 2, ADVERTISED = 4, PARTNER = 5 };
enum { GIGABIT_ADVERTISED = 9, GIGABIT_PARTNER = 10 }; // 1000BASE-T (40.5.1.1)
enum { CONTROL_RESET = 1u << 15, CONTROL_NEGOTIATE = 1u << 12, CONTROL_RESTART = 1u << 9 };
enum { STATUS_LINK = 1u << 2, STATUS_NEGOTIATED = 1u << 5, STATUS_EXTENDED = 1u << 8 };
enum { CAN_100_FULL = 1u << 8, CAN_100 = 1u << 7, CAN_10_FULL = 1u << 6, CAN_10 = 1u << 5 };
enum { CAN_802_3 = 1 };
enum { CAN_1000_FULL = 1u << 9, PARTNER_1000_FULL = 1u << 11, CAN_1000 = 1u << 8 };

// 64 bits at 2.5 MHz are 26 us.
enum { MII_LIMIT_US = 1000 };
enum { RESET_LIMIT_US = 500000 }; // 22.2.4.1.1

static int management(const struct imx_enet *eth, uint32_t frame) {
    ek_write32(eth->base + EIR, EIR_MII);
    ek_write32(eth->base + MMFR, MMFR_START | MMFR_TURNAROUND | (uint32_t)eth->phy << 23 | frame);
    for (uint64_t end_us = ek_clock_us() + MII_LIMIT_US;;) {
        if (ek_read32(eth->base + EIR) & EIR_MII) {
            return (int)(ek_read32(eth->base + MMFR) & 0xffff);
        }
        if (ek_clock_us() >= end_us) {
            return EK_ETIMEDOUT;
        }
    }
}

static int read(const struct imx_enet *eth, uint32_t reg) {
    return management(eth, MMFR_READ | reg << 18);
}

static int write(const struct imx_enet *eth, uint32_t reg, uint32_t value) {
    return management(eth, MMFR_WRITE | reg << 18 | value);
}

static int change(const struct imx_enet *eth, uint32_t reg, uint32_t clear, uint32_t set) {
    int value = read(eth, reg);
    return value < 0 ? value : write(eth, reg, ((uint32_t)value & ~clear) | set);
}

// What the board wants of its PHY besides.
static int set_up(const struct imx_enet *eth) {
    int status = EK_OK;
    for (const uint32_t *row = eth->phy_setup; row[0] != 0 && status >= 0; row += 3) {
        status = change(eth, row[0], row[1], row[2]);
    }
    return status;
}

// Whether both ends of the wires between MAC and PHY are made for it; a PHY without extended status
// has no such registers (22.2.4.2.16).
static bool has_gigabit(const struct imx_enet *eth) {
    int status = eth->rgmii ? read(eth, STATUS) : 0;
    return status > 0 && status != 0xffff && status & STATUS_EXTENDED;
}

int imx_enet_phy_start(const struct imx_enet *eth) {
    int id = read(eth, IDENTIFIER);
    if (id <= 0 || id == 0xffff) { // nobody drives the line
        return id < 0 ? id : EK_ENOENT;
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
    int status = set_up(eth);
    if (status < 0) {
        return status;
    }
    (void)write(eth, ADVERTISED, CAN_100_FULL | CAN_100 | CAN_10_FULL | CAN_10 | CAN_802_3);
    if (has_gigabit(eth)) {
        (void)change(eth, GIGABIT_ADVERTISED, CAN_1000, CAN_1000_FULL);
    }
    status = write(eth, CONTROL, CONTROL_NEGOTIATE | CONTROL_RESTART);
    return status < 0 ? status : EK_OK;
}

int imx_enet_phy_mode(const struct imx_enet *eth) {
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
    if (eth->rgmii && status & STATUS_EXTENDED) {
        int ours = read(eth, GIGABIT_ADVERTISED), theirs = read(eth, GIGABIT_PARTNER);
        if (ours < 0 || theirs < 0) {
            return EK_ETIMEDOUT;
        }
        if (ours & CAN_1000_FULL && theirs & PARTNER_1000_FULL) {
            return IMX_ENET_UP | IMX_ENET_FULL | IMX_ENET_1G;
        }
    }
    int ours = read(eth, ADVERTISED), theirs = read(eth, PARTNER);
    if (ours < 0 || theirs < 0) {
        return EK_ETIMEDOUT;
    }
    // The best that both can; a partner that does not negotiate shows its speed only (28.2.3.1).
    unsigned common = (unsigned)ours & (unsigned)theirs;
    if (common & CAN_100_FULL) {
        return IMX_ENET_UP | IMX_ENET_FULL;
    }
    if (common & CAN_100) {
        return IMX_ENET_UP;
    }
    return IMX_ENET_UP | IMX_ENET_10M | (common & CAN_10_FULL ? IMX_ENET_FULL : 0);
}
