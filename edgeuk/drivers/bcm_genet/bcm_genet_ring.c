// bcm_genet_ring.c: the DMA engines of a GENET, of which the default ring, number 16, is used in
// each direction. Descriptors are registers, so only frames need the caches' care.
// Producer and consumer indices run freely in 16 bits; the place in a ring is the index modulo its
// size. They cannot be set by us where the device owns them (the receiver's producer, the
// transmitter's consumer), so a start takes them over.
#include <string.h>
#include "bcm_genet.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/dma.h"
#include "ek/mmio.h"

// Each engine: 256 descriptors of three words, 17 rings' registers, then its own.
enum { RDMA = 0x2000, TDMA = 0x4000 };
enum { DESCRIPTOR_BYTES = 12, DESCRIPTOR_WORDS = 3, RINGS = 256 * DESCRIPTOR_BYTES };
enum { LENGTH_STATUS = 0, ADDRESS_LOW = 4, ADDRESS_HIGH = 8 };
enum { DEFAULT_RING = 16, RING = RINGS + DEFAULT_RING * 0x40, ENGINE = RING + 0x40 };

// Of a ring. RDMA and TDMA differ in who writes which index: the device at 0x08 what it has done.
enum { DEVICE_POINTER = 0x00, DEVICE_INDEX = 0x08, OUR_INDEX = 0x0c, BUFFER_SIZE = 0x10 };
enum { START_ADDR = 0x14, END_ADDR = 0x1c, DONE_THRESHOLD = 0x24, FLOW = 0x28, OUR_POINTER = 0x2c };
enum {
    RX_FLOW = 5u << 16 | BCM_GENET_RX_COUNT / 16
}; // pause frames, which are off: as Linux has it

enum { RING_CFG = 0x00, DMA_CTRL = 0x04, DMA_STATUS = 0x08, BURST_SIZE = 0x0c };
enum { DMA_EN = 1u << 0, RING_EN = 1u << (DEFAULT_RING + 1), DMA_DISABLED = 1u << 0 };
enum { BURST_WORDS = 8 };      // the most that a BCM2711 can (Linux, U-Boot)
enum { STOP_LIMIT_US = 5000 }; // as Linux has it: four full frames at 10 Mbit/s

// (LENGTH_STATUS), beside the length in its upper half.
enum { END_OF_FRAME = 1u << 14, START_OF_FRAME = 1u << 13 };
enum { TX_QTAG = 0x3fu << 7, TX_APPEND_CRC = 1u << 6 };
enum { RX_LONG = 1u << 4, RX_ALIGN = 1u << 3, RX_ERROR = 1u << 2, RX_CRC = 1u << 1, RX_OVER = 1 };
enum { RX_BAD = RX_LONG | RX_ALIGN | RX_ERROR | RX_CRC | RX_OVER };
enum { ALIGN = 2 }; // bytes before a received frame (RBUF_ALIGN_2B)

static uint32_t get(const struct bcm_genet *eth, uint32_t reg) {
    return ek_read32(eth->base + reg);
}

static void put(const struct bcm_genet *eth, uint32_t reg, uint32_t value) {
    ek_write32(eth->base + reg, value);
}

static uint32_t descriptor(uint32_t engine, unsigned index, unsigned count) {
    return engine + index % count * DESCRIPTOR_BYTES;
}

static void stop(const struct bcm_genet *eth, uint32_t engine) {
    put(eth, engine + ENGINE + DMA_CTRL, 0);
    for (uint64_t end_us = ek_clock_us() + STOP_LIMIT_US;
         !(get(eth, engine + ENGINE + DMA_STATUS) & DMA_DISABLED) && ek_clock_us() < end_us;) {
    }
}

void bcm_genet_stop_rings(const struct bcm_genet *eth) {
    stop(eth, TDMA);
    stop(eth, RDMA);
}

static void set_address(const struct bcm_genet *eth, uint32_t at, const uint8_t *buffer) {
    put(eth, at + ADDRESS_LOW, (uint32_t)(uintptr_t)buffer);
    put(eth, at + ADDRESS_HIGH, (uint32_t)((uint64_t)(uintptr_t)buffer >> 32));
}

// Make a ring of the first `count` descriptors, empty; the index where it begins.
static uint16_t make_ring(const struct bcm_genet *eth, uint32_t engine, unsigned count) {
    uint32_t ring = engine + RING;
    uint32_t index = get(eth, ring + DEVICE_INDEX) & 0xffff;
    put(eth, engine + ENGINE + BURST_SIZE, BURST_WORDS);
    put(eth, ring + START_ADDR, 0);
    put(eth, ring + END_ADDR, count * DESCRIPTOR_WORDS - 1);
    put(eth, ring + DEVICE_POINTER, index % count * DESCRIPTOR_WORDS);
    put(eth, ring + OUR_POINTER, index % count * DESCRIPTOR_WORDS);
    put(eth, ring + OUR_INDEX, index);
    put(eth, ring + BUFFER_SIZE, count << 16 | BCM_GENET_BUFFER);
    put(eth, ring + DONE_THRESHOLD, 1); // an interrupt for every frame
    put(eth, ring + FLOW, engine == RDMA ? RX_FLOW : 0);
    put(eth, engine + ENGINE + RING_CFG, 1u << DEFAULT_RING);
    return (uint16_t)index;
}

void bcm_genet_start_rings(const struct bcm_genet *eth) {
    struct bcm_genet_state *state = eth->state;
    // No dirty line of a buffer may be written over what the device puts there.
    ek_dma_clean(state->rx_data, sizeof state->rx_data);
    for (unsigned i = 0; i < BCM_GENET_RX_COUNT; i++) {
        set_address(eth, descriptor(RDMA, i, BCM_GENET_RX_COUNT), state->rx_data[i]);
    }
    state->rx_next = make_ring(eth, RDMA, BCM_GENET_RX_COUNT);
    state->tx_next = make_ring(eth, TDMA, BCM_GENET_TX_COUNT);
    state->rx_drops = (uint16_t)(get(eth, RDMA + RING + DEVICE_INDEX) >> 16);
    ek_dma_barrier();
    put(eth, TDMA + ENGINE + DMA_CTRL, RING_EN | DMA_EN);
    put(eth, RDMA + ENGINE + DMA_CTRL, RING_EN | DMA_EN);
}

uint8_t *bcm_genet_room(const struct bcm_genet *eth) {
    struct bcm_genet_state *state = eth->state;
    uint16_t sent = (uint16_t)get(eth, TDMA + RING + DEVICE_INDEX);
    if ((uint16_t)(state->tx_next - sent) >= BCM_GENET_TX_COUNT) {
        return NULL;
    }
    return state->tx_data[state->tx_next % BCM_GENET_TX_COUNT];
}

void bcm_genet_send(const struct bcm_genet *eth, size_t len) {
    struct bcm_genet_state *state = eth->state;
    uint8_t *buffer = state->tx_data[state->tx_next % BCM_GENET_TX_COUNT];
    uint32_t at = descriptor(TDMA, state->tx_next, BCM_GENET_TX_COUNT);
    ek_dma_clean(buffer, len);
    set_address(eth, at, buffer);
    put(eth, at + LENGTH_STATUS,
        (uint32_t)len << 16 | TX_QTAG | TX_APPEND_CRC | START_OF_FRAME | END_OF_FRAME);
    state->tx_next++;
    ek_dma_barrier();
    put(eth, TDMA + RING + OUR_INDEX, state->tx_next);
}

// The length of the frame at `at`, or EK_EIO.
static int frame_len(const struct bcm_genet *eth, uint32_t at, size_t size) {
    uint32_t status = get(eth, at + LENGTH_STATUS);
    size_t len = status >> 16 & 0xfff;
    bool whole = status & START_OF_FRAME && status & END_OF_FRAME;
    return !whole || status & RX_BAD || len < ALIGN + 14 || len - ALIGN > size ? EK_EIO
                                                                               : (int)(len - ALIGN);
}

int bcm_genet_receive(const struct bcm_genet *eth, uint8_t *frame, size_t size) {
    struct bcm_genet_state *state = eth->state;
    uint32_t produced = get(eth, RDMA + RING + DEVICE_INDEX);
    uint16_t drops = (uint16_t)(produced >> 16);
    ek_counters.device_errors += (uint16_t)(drops - state->rx_drops);
    state->rx_drops = drops;
    uint16_t waiting = (uint16_t)(produced - state->rx_next);
    if (waiting == 0) {
        return 0;
    }
    if (waiting > BCM_GENET_RX_COUNT) {
        return EK_ETIMEDOUT;
    }
    ek_dma_barrier(); // the index first, then what it stands for
    int len = frame_len(eth, descriptor(RDMA, state->rx_next, BCM_GENET_RX_COUNT), size);
    if (len > 0) {
        uint8_t *buffer = state->rx_data[state->rx_next % BCM_GENET_RX_COUNT];
        ek_dma_invalidate(buffer, (size_t)len + ALIGN);
        memcpy(frame, buffer + ALIGN, (size_t)len);
    } else {
        ek_counters.device_errors++;
    }
    state->rx_next++;
    ek_dma_barrier(); // read before it is given back
    put(eth, RDMA + RING + OUR_INDEX, state->rx_next);
    return len;
}
