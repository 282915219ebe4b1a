// e1000e.c: Intel 82574L and 82574IT, gigabit Ethernet over PCI Express. One
// pair of queues of legacy descriptors; the address is the device's own; speed
// and duplex are what its PHY settles by itself. Interrupts are MSI-X messages,
// or the line where there are none. Document: Intel 316080 (82574 GbE
// Controller Family datasheet); numbers in parentheses are its sections. Left
// out: offloads, VLANs, multicast, flow control beyond what negotiation sets
// up, manageability, an interrupt when a frame has been sent: a full ring is
// looked at again when the next frame comes.
#include "e1000e.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/dma.h"
#include "ek/mmio.h"
#include "ek/pci.h"
#include <string.h>

enum { VENDOR = 0x8086, DEVICE_82574L = 0x10d3, DEVICE_82574IT = 0x10f6 };

enum { // (10.1)
    CTRL = 0x0000,
    STATUS = 0x0008,
    EECD = 0x0010,
    CTRL_EXT = 0x0018,
    ICR = 0x00c0,
    IMS = 0x00d0,
    IMC = 0x00d8,
    IVAR = 0x00e4,
    RCTL = 0x0100,
    TCTL = 0x0400,
    RDBAL = 0x2800,
    RDT = 0x2818,
    RXDCTL = 0x2828,
    TDBAL = 0x3800,
    TDT = 0x3818,
    TXDCTL = 0x3828,
    MTA = 0x5200,
    RAL0 = 0x5400,
    RAH0 = 0x5404,
    REGISTERS = 0x6000,
};
enum { RING_HIGH = 0x04, RING_LENGTH = 0x08, RING_HEAD = 0x10 }; // behind RDBAL and TDBAL
enum { MTA_WORDS = 128 };

enum { CTRL_NO_MASTER = 1u << 2, CTRL_ASDE = 1u << 5, CTRL_SLU = 1u << 6 }; // (10.2.2.1)
enum { CTRL_FORCE = 3u << 11, CTRL_RST = 1u << 26 };
enum { STATUS_LU = 1u << 1, STATUS_MASTER = 1u << 19 }; // (10.2.2.2)
enum { EECD_AUTO_RD = 1u << 9 };                        // (10.2.2.3)
#define CTRL_EXT_PBA_CLR (1u << 31)                     // (10.2.2.5)
enum { CTRL_EXT_DRV_LOAD = 1u << 28 };                  // tells the management's firmware
enum { LSC = 1u << 2, RXDMT0 = 1u << 4, RXO = 1u << 6, RXT0 = 1u << 7 }; // (10.2.4.1)
enum { RXQ0 = 1u << 20, OTHER = 1u << 24 };                              // only with MSI-X
enum { CAUSES = LSC | RXDMT0 | RXO | RXT0 | RXQ0 | OTHER };
enum { IVAR_ALL_TO_0 = 0x00080808 }; // (10.2.4.9) receive, send, other: enabled, entry 0
enum { RCTL_EN = 1u << 1, RCTL_BAM = 1u << 15, RCTL_SECRC = 1u << 26 }; // (10.2.5.1)
enum { TCTL_EN = 1u << 1, TCTL_PSP = 1u << 3 };                         // (10.2.6.1)
enum { TCTL_CT = 0xffu << 4, TCTL_COLD = 0x3ffu << 12 };
enum { TCTL_CT_VALUE = 15u << 4, TCTL_COLD_VALUE = 63u << 12 }; // as recommended there
// (10.2.5.8, 10.2.6.8) thresholds count descriptors, and each is written back
// at once; bit 22 of TXDCTL must be set.
enum { WRITE_BACK_1 = 1u << 24 | 1u << 16, TXDCTL_COUNT = 1u << 22 };
#define RAH_VALID (1u << 31) // (10.2.5.17)

// Legacy descriptors, second word (7.1.4, 7.2.10.1).
enum { LENGTH = 0xffff };
#define RECEIVED_DONE (1ull << 32)
#define RECEIVED_END (1ull << 33)
#define RECEIVED_ERRORS (0x97ull << 40) // RXE, CXE, SEQ, SE, CE
#define SEND_COMMAND (0xbull << 24)     // EOP: whole frames; IFCS: it adds the check; RS: report
#define SENT_DONE (1ull << 32)
#define SENT_LOST (6ull << 32) // LC, EC: collisions

enum { FRAME_MIN = 14, FRAME_PADDED = 60 }; // bytes without check sequence: IEEE 802.3
// Requests on the bus end within microseconds; reading the EEPROM takes up to
// 10 ms (4.6.1).
enum { QUIET_US_MAX = 80000, RESET_US_MAX = 20000, RESET_US = 10 };
// Receive descriptors are given back this many at a time, and all when there is
// no frame.
enum { GIVE_EVERY = E1000E_RECEIVE_BUFFERS / 2 };

static uint32_t get(const struct e1000e_state *state, uint32_t reg) {
    return ek_read32(state->base + reg);
}

static void set(const struct e1000e_state *state, uint32_t reg, uint32_t value) {
    ek_write32(state->base + reg, value);
}

static bool wait(const struct e1000e_state *state, uint32_t reg, uint32_t mask, uint32_t value,
                 uint32_t us_max) {
    uint64_t start_us = ek_clock_us();
    while ((get(state, reg) & mask) != value) {
        if (ek_clock_us() - start_us > us_max) {
            return false;
        }
    }
    return true;
}

// (4.6.1, 5.2.5.3.2) Nothing may be under way on the bus when the device is
// reset.
static int reset(const struct e1000e_state *state) {
    set(state, IMC, UINT32_MAX);
    set(state, RCTL, 0);
    set(state, TCTL, TCTL_PSP);
    set(state, CTRL, get(state, CTRL) | CTRL_NO_MASTER);
    (void)wait(state, STATUS, STATUS_MASTER, 0,
               QUIET_US_MAX); // then the reset has to do
    set(state, CTRL, get(state, CTRL) | CTRL_RST);
    uint64_t start_us = ek_clock_us();
    while (ek_clock_us() - start_us < RESET_US) { // it does not answer in the first microsecond
    }
    if (!wait(state, CTRL, CTRL_RST, 0, RESET_US_MAX) ||
        !wait(state, EECD, EECD_AUTO_RD, EECD_AUTO_RD, RESET_US_MAX)) {
        return EK_ETIMEDOUT;
    }
    set(state, IMC, UINT32_MAX);
    set(state, ICR, UINT32_MAX);
    return EK_OK;
}

static bool find(const struct e1000e *eth, bool *messages) {
    struct ek_pci_scan scan = {0};
    struct ek_pci_bar bars[EK_PCI_BARS];
    uint64_t window = eth->window;
    uint32_t function, nth = 0;
    while (ek_pci_next(&scan, &function)) {
        uint32_t ids = ek_pci_read32(function, EK_PCI_ID), device = ids >> 16;
        bool ours =
            (ids & 0xffff) == VENDOR && (device == DEVICE_82574L || device == DEVICE_82574IT);
        if (!ours || nth++ != eth->nth) {
            continue;
        }
        ek_pci_open(function, &window, bars);
        eth->state->base = ek_pci_map(bars, 0, 0, REGISTERS);
        *messages = ek_pci_use_msix(function, bars) == EK_OK;
        return eth->state->base != 0;
    }
    return false;
}

static void set_ring(const struct e1000e_state *state, uint32_t reg,
                     const struct e1000e_descriptor *ring, uint32_t count) {
    uint64_t address = (uintptr_t)ring;
    set(state, reg, (uint32_t)address);
    set(state, reg + RING_HIGH, (uint32_t)(address >> 32));
    set(state, reg + RING_LENGTH, count * (uint32_t)sizeof ring[0]);
}

// The address of the EEPROM is there after a reset (10.2.5.16).
static int set_address(const struct e1000e_state *state, uint8_t mac[6]) {
    static const uint8_t unset[6];
    if (memcmp(mac, unset, sizeof unset) == 0) {
        uint32_t low = get(state, RAL0), high = get(state, RAH0);
        for (unsigned i = 0; i < 6; i++) {
            mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
        }
        bool good = (high & RAH_VALID) && !(mac[0] & 1) && memcmp(mac, unset, sizeof unset) != 0;
        return good ? EK_OK : EK_EIO;
    }
    set(state, RAL0, mac[0] | mac[1] << 8 | mac[2] << 16 | (uint32_t)mac[3] << 24);
    set(state, RAH0, mac[4] | mac[5] << 8 | RAH_VALID);
    return EK_OK;
}

static void start(struct e1000e_state *state, bool messages) {
    for (uint32_t i = 0; i < MTA_WORDS; i++) { // holds anything after power-up (4.6.5)
        set(state, MTA + 4 * i, 0);
    }
    for (uint32_t i = 0; i < E1000E_RECEIVE_BUFFERS; i++) {
        state->received[i].address = (uintptr_t)state->receive_data[i];
        state->received[i].word = 0;
    }
    state->next_received = state->given = state->next_sent = state->oldest_sent = 0;
    set_ring(state, RDBAL, state->received, E1000E_RECEIVE_BUFFERS);
    set_ring(state, TDBAL, state->sent, E1000E_SEND_BUFFERS);
    set(state, RXDCTL, WRITE_BACK_1);
    set(state, TXDCTL, WRITE_BACK_1 | TXDCTL_COUNT);
    uint32_t ctrl = get(state, CTRL) & ~(uint32_t)(CTRL_FORCE | CTRL_NO_MASTER);
    set(state, CTRL, ctrl | CTRL_SLU | CTRL_ASDE);
    set(state, CTRL_EXT,
        get(state, CTRL_EXT) | CTRL_EXT_DRV_LOAD | (messages ? CTRL_EXT_PBA_CLR : 0));
    set(state, IVAR, messages ? IVAR_ALL_TO_0 : 0);
    uint32_t tctl = get(state, TCTL) & ~(uint32_t)(TCTL_CT | TCTL_COLD);
    set(state, TCTL, tctl | TCTL_CT_VALUE | TCTL_COLD_VALUE | TCTL_PSP | TCTL_EN);
    set(state, RCTL,
        RCTL_EN | RCTL_BAM | RCTL_SECRC); // 2048 bytes for each; no longer frames
    ek_dma_barrier();
    set(state, RDT,
        E1000E_RECEIVE_BUFFERS - 1); // after the receiver is enabled (4.6.5)
    set(state, IMS, CAUSES);
    state->started = true;
}

static int init(const void *dev, uint8_t mac[6]) {
    const struct e1000e *eth = dev;
    bool messages = false;
    eth->state->started = false;
    if (!find(eth, &messages)) {
        return EK_ENOENT;
    }
    int status = reset(eth->state);
    status = status < 0 ? status : set_address(eth->state, mac);
    if (status == EK_OK) {
        start(eth->state, messages);
    }
    return status;
}

static uint8_t *frame(const void *dev) {
    struct e1000e_state *state = ((const struct e1000e *)dev)->state;
    while (state->oldest_sent != state->next_sent &&
           state->sent[state->oldest_sent].word & SENT_DONE) {
        ek_counters.device_errors += (state->sent[state->oldest_sent].word & SENT_LOST) != 0;
        state->oldest_sent = (state->oldest_sent + 1) % E1000E_SEND_BUFFERS;
    }
    bool full = (state->next_sent + 1) % E1000E_SEND_BUFFERS == state->oldest_sent;
    return state->started && !full ? state->send_data[state->next_sent] : NULL;
}

static int send(const void *dev, size_t len) {
    struct e1000e_state *state = ((const struct e1000e *)dev)->state;
    ek_assert(len >= FRAME_MIN);
    ek_assert(len <= EK_ETH_FRAME_MAX);
    uint8_t *data = state->send_data[state->next_sent];
    if (!state->started) {
        return EK_EIO;
    }
    if (len < FRAME_PADDED) {
        memset(data + len, 0,
               FRAME_PADDED - len); // no bytes of earlier frames leak out
        len = FRAME_PADDED;
    }
    state->sent[state->next_sent].address = (uintptr_t)data;
    state->sent[state->next_sent].word = SEND_COMMAND | len;
    state->next_sent = (state->next_sent + 1) % E1000E_SEND_BUFFERS;
    ek_dma_barrier();
    set(state, TDT, state->next_sent);
    return EK_OK;
}

// The tail is the one descriptor that stays ours: the one before the next to be
// filled.
static void give(struct e1000e_state *state) {
    if (state->given != state->next_received) {
        state->given = state->next_received;
        ek_dma_barrier();
        set(state, RDT, (state->given + E1000E_RECEIVE_BUFFERS - 1) % E1000E_RECEIVE_BUFFERS);
    }
}

static bool has_frame(const struct e1000e_state *state) {
    return state->received[state->next_received].word & RECEIVED_DONE;
}

static int receive(const void *dev, uint8_t *out, size_t size) {
    struct e1000e_state *state = ((const struct e1000e *)dev)->state;
    if (!state->started) {
        return 0;
    }
    if (!has_frame(state)) { // acknowledge, then look once more: one may have
                             // come in between
        give(state);
        set(state, ICR, UINT32_MAX);
        if (!has_frame(state)) {
            return 0;
        }
    }
    ek_dma_barrier();
    struct e1000e_descriptor *descriptor = &state->received[state->next_received];
    uint64_t word = descriptor->word;
    size_t len = word & LENGTH;
    bool good = word & RECEIVED_END && !(word & RECEIVED_ERRORS) && len >= FRAME_MIN && len <= size;
    if (good) {
        memcpy(out, state->receive_data[state->next_received], len);
    }
    ek_counters.device_errors += (word & RECEIVED_ERRORS) != 0;
    descriptor->address = (uintptr_t)state->receive_data[state->next_received];
    descriptor->word = 0;
    state->next_received = (state->next_received + 1) % E1000E_RECEIVE_BUFFERS;
    if (state->next_received % GIVE_EVERY == 0) {
        give(state);
    }
    return good ? (int)len : EK_EIO;
}

static int link(const void *dev) {
    const struct e1000e_state *state = ((const struct e1000e *)dev)->state;
    uint32_t status = state->started ? get(state, STATUS) : 0;
    if (status == UINT32_MAX) { // nobody answers on the bus
        return EK_ENOENT;
    }
    return status & STATUS_LU ? 1 : 0;
}

const struct ek_eth_ops e1000e_ops = {
    .init = init,
    .frame = frame,
    .send = send,
    .receive = receive,
    .link = link,
};
