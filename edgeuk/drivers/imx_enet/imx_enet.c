// imx_enet.c: the Ethernet MAC of NXP i.MX and Kinetis chips (ENET). One outgoing buffer; incoming
// frames are spread over small ones.
// Document: NXP IMX6ULRM and IMX8MPRM, chapter ENET; names in parentheses are its registers.
// Left to the board's soc driver: clocks, pins, the direction of the reference clock. Left out:
// checksums by the device, IEEE 1588, multicast.
//
// The device is not coherent with caches. What it owns is never touched: eight receive descriptors
// are a cache line, and go back to the device together when the last of them has been used up.
#include "imx_enet.h"
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/dma.h"
#include "ek/mmio.h"

// Register offsets in bytes, then the bits used.
enum { EIR = 0x004, EIMR = 0x008, RDAR = 0x010, TDAR = 0x014, ECR = 0x024, MSCR = 0x044 };
enum { RCR = 0x084, TCR = 0x0c4, PALR = 0x0e4, PAUR = 0x0e8, TFWR = 0x144, RDSR = 0x180 };
enum { TDSR = 0x184, MRBR = 0x188 };
enum { EIR_RXF = 1u << 25, EIR_RXB = 1u << 24, EIR_EBERR = 1u << 22 };
enum { ACTIVE = 1u << 24 }; // (RDAR, TDAR)
enum { ECR_RESET = 1u << 0, ECR_ETHEREN = 1u << 1, ECR_DBSWP = 1u << 8 };
enum { ECR_SPEED = 1u << 5 }; // 1000 Mbit/s
enum {
    RCR_DRT = 1u << 1,
    RCR_MII = 1u << 2,
    RCR_RGMII = 1u << 6,
    RCR_RMII = 1u << 8,
    RCR_10T = 1u << 9
};
enum { FRAME_MAX = EK_ETH_FRAME_MAX + 4, RCR_MAX_SHIFT = 16 }; // with its check sequence
enum { TCR_FDEN = 1u << 2, TFWR_STRFWD = 1u << 8 };

// Control bits of descriptors.
enum { RX_EMPTY = 1u << 15, WRAP = 1u << 13, LAST = 1u << 11 };
enum { RX_BAD = 1u << 5 | 1u << 4 | 1u << 2 | 1u << 1 | 1u << 0 }; // LG, NO, CR, OV, TR
enum { TX_READY = 1u << 15, TX_CRC = 1u << 10 };

// A full frame takes 1.2 ms at 10 Mbit/s, and up to 16 attempts in half duplex.
enum { TX_LIMIT_US = 20000 };
enum { RESET_POLLS_MAX = 1000 }; // it takes 8 clocks
enum { TDAR_LOOKS = 4 };         // as many as Linux
enum { FRAME_MIN = 60 };         // without its check sequence

// Eight descriptors, from `first` on, to the device.
static void give(struct imx_enet_state *state, unsigned first) {
    for (unsigned i = first; i < first + IMX_ENET_LINE_COUNT; i++) {
        state->rx[i].buffer = (uint32_t)(uintptr_t)state->rx_data[i];
        state->rx[i].control = i + 1 == IMX_ENET_RX_COUNT ? RX_EMPTY | WRAP : RX_EMPTY;
    }
    ek_dma_clean(&state->rx[first], IMX_ENET_LINE);
    ek_dma_barrier();
}

static void make_rings(struct imx_enet_state *state) {
    state->next = 0;
    // No dirty line of a buffer may be written over what the device puts there.
    ek_dma_clean(state->rx_data, sizeof state->rx_data);
    for (unsigned i = 0; i < IMX_ENET_RX_COUNT; i += IMX_ENET_LINE_COUNT) {
        give(state, i);
    }
    state->tx[0].buffer = (uint32_t)(uintptr_t)state->tx_data;
    state->tx[0].control = WRAP;
    ek_dma_clean(&state->tx[0], IMX_ENET_LINE);
    ek_dma_barrier();
}

// Everything anew, in the mode of `state`; frames under way are lost.
static int restart(const struct imx_enet *eth) {
    struct imx_enet_state *state = eth->state;
    ek_write32(eth->base + ECR, ECR_RESET);
    for (uint32_t polls = 0; ek_read32(eth->base + ECR) & ECR_RESET; polls++) {
        if (polls == RESET_POLLS_MAX) {
            return EK_ETIMEDOUT;
        }
    }
    make_rings(state);
    ek_write32(eth->base + EIMR, EIR_RXF | EIR_EBERR);
    ek_write32(eth->base + EIR, UINT32_MAX);
    // MDC = clock / (2 * (MII_SPEED + 1)), at most 2.5 MHz; data held for 10 ns (MSCR).
    uint32_t speed = (eth->clock_hz + 4999999) / 5000000 - 1;
    uint32_t hold = (eth->clock_hz + 99999999) / 100000000 - 1;
    ek_write32(eth->base + MSCR, hold << 8 | speed << 1);
    const uint8_t *mac = state->mac;
    ek_write32(eth->base + PALR,
               (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3]);
    ek_write32(eth->base + PAUR, (uint32_t)mac[4] << 24 | (uint32_t)mac[5] << 16);
    ek_write32(eth->base + RCR, (uint32_t)FRAME_MAX << RCR_MAX_SHIFT | RCR_MII |
                                    (eth->rgmii  ? RCR_RGMII
                                     : eth->rmii ? RCR_RMII
                                                 : 0) |
                                    (state->mode & IMX_ENET_10M ? RCR_10T : 0) |
                                    (state->mode & IMX_ENET_FULL ? 0 : RCR_DRT));
    ek_write32(eth->base + TCR, state->mode & IMX_ENET_FULL ? TCR_FDEN : 0);
    ek_write32(eth->base + TFWR, TFWR_STRFWD); // no frame starts before it is all there
    ek_write32(eth->base + RDSR, (uint32_t)(uintptr_t)state->rx);
    ek_write32(eth->base + TDSR, (uint32_t)(uintptr_t)state->tx);
    ek_write32(eth->base + MRBR, IMX_ENET_RX_BYTES);
    ek_write32(eth->base + ECR,
               ECR_DBSWP | ECR_ETHEREN | (state->mode & IMX_ENET_1G ? ECR_SPEED : 0));
    ek_write32(eth->base + RDAR, ACTIVE);
    return EK_OK;
}

// The address from the fuses, or what a boot loader or an emulator left, or a locally administered
// one made of the chip's number; false: none.
static bool find_mac(const struct imx_enet *eth, uint8_t mac[6]) {
    uint32_t low = 0, high = 0;
    if (eth->mac_fuses != 0) {
        low = ek_read32(eth->mac_fuses);
        high = ek_read32(eth->mac_fuses + 16) & 0xffff;
    }
    if ((low | high) == 0) {
        uint32_t palr = ek_read32(eth->base + PALR);
        high = palr >> 16;
        low = palr << 16 | ek_read32(eth->base + PAUR) >> 16;
    }
    if ((low | high) == 0 && eth->mac_id != 0) {
        high = (ek_read32(eth->mac_id) & 0xfcff) | 0x0200;
        low = ek_read32(eth->mac_id + 4);
    }
    for (unsigned i = 0; i < 6; i++) {
        mac[i] = (uint8_t)(i < 2 ? high >> (8 - 8 * i) : low >> (40 - 8 * i));
    }
    return (low | high) != 0;
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct imx_enet *eth = dev;
    ek_assert(eth->base != 0);
    ek_assert(eth->state != NULL);
    ek_assert((uintptr_t)eth->state % IMX_ENET_LINE == 0);
    static const uint8_t none[6];
    if (memcmp(mac, none, sizeof none) == 0 && !find_mac(eth, mac)) {
        return EK_ENOENT;
    }
    memcpy(eth->state->mac, mac, sizeof eth->state->mac);
    eth->state->mode = IMX_ENET_FULL; // what 100 Mbit/s will most likely agree on
    int status = restart(eth);
    if (status < 0) {
        return status;
    }
    eth->state->phy_ready = imx_enet_phy_start(eth) == EK_OK;
    return EK_OK;
}

// A transmitter that does not finish is restarted; what it held is lost.
static uint8_t *frame(const void *dev) {
    const struct imx_enet *eth = dev;
    struct imx_enet_state *state = eth->state;
    for (uint64_t end_us = ek_clock_us() + TX_LIMIT_US;;) {
        ek_dma_invalidate(&state->tx[0], IMX_ENET_LINE);
        if (!(state->tx[0].control & TX_READY)) {
            return state->tx_data;
        }
        if (ek_clock_us() >= end_us) {
            ek_counters.device_restarts++;
            (void)restart(eth);
            return NULL;
        }
    }
}

// A write to TDAR is lost if it comes while the transmitter ends the frame before (erratum
// ERR006358 of the i.MX 6): the frame is still there, and TDAR is clear. It is written again, which
// does no harm where the frame was finished meanwhile.
static void again_if_lost(const struct imx_enet *eth) {
    struct imx_enet_state *state = eth->state;
    ek_dma_invalidate(&state->tx[0], IMX_ENET_LINE);
    if (state->tx[0].control & TX_READY && !(ek_read32(eth->base + TDAR) & ACTIVE)) {
        ek_write32(eth->base + TDAR, ACTIVE);
    }
}

// A write to TDAR within the clocks in which the device clears it, having found no other frame,
// hangs the transmitter (erratum ERR007885 of the i.MX 6SoloX, which Linux heeds on i.MX 6UL and
// 8M, too). So it is written where it is seen clear. A device that looks on sees the frame by
// itself, and if it just did not, it is started at the next look.
static void start_transmitter(const struct imx_enet *eth) {
    for (unsigned looks = 0; looks < TDAR_LOOKS; looks++) {
        if (!(ek_read32(eth->base + TDAR) & ACTIVE)) {
            ek_write32(eth->base + TDAR, ACTIVE);
            return;
        }
    }
}

static int send(const void *dev, size_t len) {
    const struct imx_enet *eth = dev;
    struct imx_enet_state *state = eth->state;
    ek_assert(len >= 14);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    if (len < FRAME_MIN) {
        memset(state->tx_data + len, 0, FRAME_MIN - len); // not what an earlier frame left there
        len = FRAME_MIN;
    }
    ek_dma_clean(state->tx_data, len);
    state->tx[0].len = (uint16_t)len;
    ek_dma_barrier();
    state->tx[0].control = TX_READY | WRAP | LAST | TX_CRC;
    ek_dma_clean(&state->tx[0], IMX_ENET_LINE);
    ek_dma_barrier();
    start_transmitter(eth);
    return EK_OK;
}

// How many descriptors the next frame takes; 0: it is not there, or not all of it.
static unsigned count_buffers(struct imx_enet_state *state) {
    for (unsigned count = 0; count < IMX_ENET_RX_COUNT; count++) {
        struct imx_enet_descriptor *rx = &state->rx[(state->next + count) % IMX_ENET_RX_COUNT];
        ek_dma_invalidate(rx, sizeof *rx);
        if (rx->control & RX_EMPTY) {
            return 0;
        }
        if (rx->control & LAST) {
            return count + 1;
        }
    }
    return IMX_ENET_RX_COUNT; // all used, and no end: nothing that a device would do
}

// Its length without the check sequence, or EK_EIO. In the last descriptor is the length of the
// frame; QEMU's model puts that of the last buffer there.
static int frame_len(const struct imx_enet_descriptor *last, unsigned count, size_t size) {
    size_t before = (count - 1) * IMX_ENET_RX_BYTES;
    size_t len = last->len <= IMX_ENET_RX_BYTES ? before + last->len : last->len;
    if (last->control & RX_BAD || len <= before || len > before + IMX_ENET_RX_BYTES) {
        return EK_EIO;
    }
    return len < 14 + 4 || len - 4 > size ? EK_EIO : (int)(len - 4);
}

// Copy `len` bytes out of the next descriptors' buffers.
static void copy(struct imx_enet_state *state, uint8_t *to, size_t len) {
    for (unsigned at = state->next; len != 0; at = (at + 1) % IMX_ENET_RX_COUNT) {
        size_t part = len < IMX_ENET_RX_BYTES ? len : IMX_ENET_RX_BYTES;
        ek_dma_invalidate(state->rx_data[at], part);
        memcpy(to, state->rx_data[at], part);
        to += part;
        len -= part;
    }
}

static int receive(const void *dev, uint8_t *frame_out, size_t size) {
    const struct imx_enet *eth = dev;
    struct imx_enet_state *state = eth->state;
    if (ek_read32(eth->base + EIR) & EIR_EBERR) { // it has stopped (EIR)
        ek_counters.device_restarts++;
        (void)restart(eth);
        return EK_EIO;
    }
    again_if_lost(eth);
    unsigned count = count_buffers(state);
    if (count == 0) {
        ek_write32(eth->base + EIR, EIR_RXF | EIR_RXB);
        // A frame may have come just before: its interrupt is gone, so take it now.
        count = count_buffers(state);
        if (count == 0) {
            return 0;
        }
    }
    unsigned last = (state->next + count - 1) % IMX_ENET_RX_COUNT;
    int len = frame_len(&state->rx[last], count, size);
    if (len > 0) {
        copy(state, frame_out, (size_t)len);
    }
    for (; count > 0; count--) {
        state->next = (uint8_t)((state->next + 1) % IMX_ENET_RX_COUNT);
        if (state->next % IMX_ENET_LINE_COUNT == 0) {
            unsigned end = state->next == 0 ? IMX_ENET_RX_COUNT : state->next;
            give(state, end - IMX_ENET_LINE_COUNT);
            ek_write32(eth->base + RDAR, ACTIVE); // it stops at a descriptor that is not its own
        }
    }
    return len;
}

// Also tells the MAC what the PHY agreed on, which it takes only when stopped (RCR, TCR). A PHY
// that did not answer may have lost what it was told.
static int link(const void *dev) {
    const struct imx_enet *eth = dev;
    int mode = eth->state->phy_ready ? imx_enet_phy_mode(eth) : imx_enet_phy_start(eth);
    eth->state->phy_ready = mode >= 0;
    if (mode <= 0) {
        return mode;
    }
    mode &= ~(int)IMX_ENET_UP;
    if (mode != eth->state->mode) {
        eth->state->mode = (uint8_t)mode;
        (void)restart(eth);
    }
    return 1;
}

const struct ek_eth_ops imx_enet_ops = {
    .init = init, .frame = frame, .send = send, .receive = receive, .link = link};
