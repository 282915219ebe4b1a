// line.c: PPP's frames on an asynchronous line, RFC 1662; numbers in parentheses are its sections.
//
// The UART is polled. What arrives while a frame is sent is taken between its pieces and waits in
// `ring`. Left out: FCS-32. Compressed headers (1661: 6.5, 6.6) are understood, never sent.
#include "ek/log.h"
#include "ek/status.h"
#include "net/lwip/glue.h"
#include "lwip/pbuf.h"
#include "net/net.h"
#include "net/ppp/ppp.h"
#include <string.h>

enum { FLAG = 0x7e, ESCAPE = 0x7d, FLIP = 0x20 }; // (4.1, 4.2)
enum { ALL_STATIONS = 0xff, UNNUMBERED = 0x03 };  // (3.1)
enum { FCS_START = 0xffff, FCS_GOOD = 0xf0b8 };   // (C.2)
enum { FCS_BYTES = 2, FRAME_LEAST = 4 };          // (4.3)
enum { FRAME_MAX = 4 + 1500 + FCS_BYTES };        // header, the default MRU (1661: 6.1), FCS
enum { PIECE_BYTES = 8 };   // the smallest receive FIFO does not overflow while so much is sent
enum { RING_BYTES = 1024 }; // 88 ms at 115200 baud; a power of 2
_Static_assert(FRAME_MAX <= PBUF_POOL_BUFSIZE, "one buffer");

static uint8_t ring[RING_BYTES];
static uint16_t head, tail; // bytes that came and went
static uint32_t accm_in, accm_out;

static struct pbuf *frame; // that comes
static uint16_t len, fcs = FCS_START;
static bool escaped, damaged;

static uint8_t piece[PIECE_BYTES]; // that goes
static uint8_t used;
static uint16_t sent_fcs;
static uint32_t sent_accm;
static bool lost;

// Without a table: it would cost 512 bytes, and the line is slower than this.
static uint16_t fcs_add(uint16_t sum, uint8_t byte) {
    uint8_t x = (uint8_t)(sum ^ byte);
    x ^= (uint8_t)(x << 4);
    return (uint16_t)(sum >> 8 ^ x << 8 ^ x << 3 ^ x >> 4);
}

void ppp_line_gather(void) {
    uint16_t start = head;
    for (;;) {
        size_t at = head % RING_BYTES, room = RING_BYTES - (uint16_t)(head - tail);
        room = room < RING_BYTES - at ? room : RING_BYTES - at;
        int got = room ? ek_role_modem.ops->read(ek_role_modem.dev, ring + at, room) : 0;
        if (got <= 0) {
            break;
        }
        head = (uint16_t)(head + got);
    }
    if (head != start) {
        net_wake();
    }
}

int ppp_line_init(void) {
    return ek_role_modem.ops ? ek_role_modem.ops->init(ek_role_modem.dev) : EK_ENOENT;
}

void ppp_line_agree(uint32_t in, uint32_t out) {
    accm_in = in;
    accm_out = out;
}

static void next(void) {
    len = 0;
    fcs = FCS_START;
    escaped = damaged = false;
}

void ppp_line_reset(void) {
    ppp_line_agree(UINT32_MAX, UINT32_MAX); // (7.1)
    next();
}

static void flush(void) {
    if (used && !lost) { // after the first that does not leave, waiting for more is no use
        lost = ek_role_modem.ops->write(ek_role_modem.dev, piece, used) != used;
    }
    used = 0;
    ppp_line_gather();
}

static void put_raw(uint8_t byte) {
    if (used == PIECE_BYTES) {
        flush();
    }
    piece[used++] = byte;
}

static void put(uint8_t byte) {
    sent_fcs = fcs_add(sent_fcs, byte);
    if (byte == FLAG || byte == ESCAPE || (byte < 0x20 && sent_accm >> byte & 1)) {
        put_raw(ESCAPE);
        byte ^= FLIP;
    }
    put_raw(byte);
}

void ppp_line_put(const void *data, size_t count) {
    for (const uint8_t *at = data; count > 0; count--) {
        put(*at++);
    }
}

// LCP is always sent so that a peer understands it that begins anew (7.1).
void ppp_line_begin(uint16_t protocol) {
    lost = false;
    sent_fcs = FCS_START;
    sent_accm = protocol == PPP_LCP ? UINT32_MAX : accm_out;
    put_raw(FLAG); // also ends what noise may have begun
    const uint8_t header[] = {ALL_STATIONS, UNNUMBERED, (uint8_t)(protocol >> 8),
                              (uint8_t)protocol};
    ppp_line_put(header, sizeof header);
}

bool ppp_line_end(void) {
    uint16_t sum = (uint16_t)~sent_fcs;
    put((uint8_t)sum); // least significant first (C.2)
    put((uint8_t)(sum >> 8));
    put_raw(FLAG);
    flush();
    net_stats.frames_out += !lost;
    net_stats.drops_out += lost;
    return !lost;
}

void ppp_line_text(const char *text) {
    lost = false;
    while (*text != '\0') {
        put_raw((uint8_t)*text++);
    }
    flush();
}

int ppp_line_byte(void) { return head == tail ? -1 : ring[tail++ % RING_BYTES]; }

// The frame's header goes. 0 if it is none.
static uint16_t take_header(struct pbuf *p) {
    const uint8_t *at = p->payload, *start = at;
    if (at[0] == ALL_STATIONS && at[1] == UNNUMBERED) {
        at += 2;
    }
    uint16_t protocol = *at++;
    if (!(protocol & 1)) { // the last byte is odd (1661: 2)
        protocol = (uint16_t)(protocol << 8 | *at++);
    }
    return (protocol & 1) && pbuf_remove_header(p, (size_t)(at - start)) == 0 ? protocol : 0;
}

// A flag came: what is before it is a frame, whole or not. Then the next one begins.
static struct pbuf *finish(uint16_t *protocol) {
    struct pbuf *whole = NULL;
    // Too short or abandoned is no error: so a line looks while the ends find each other (4.3).
    bool counts = len >= FRAME_LEAST && !escaped;
    if (counts && !damaged && fcs == FCS_GOOD) {
        pbuf_realloc(frame, len - FCS_BYTES);
        *protocol = take_header(frame);
        whole = *protocol ? frame : NULL;
        if (!whole) {
            pbuf_free(frame);
        }
        frame = NULL;
    }
    net_stats.drops_in += (counts || damaged) && !whole;
    net_stats.frames_in += whole != NULL;
    next();
    return whole;
}

static void take(uint8_t byte) {
    if (byte < 0x20 && accm_in >> byte & 1) {
        return; // put there by what is between the ends (4.2)
    }
    if (!escaped && byte == ESCAPE) {
        escaped = true;
        return;
    }
    byte ^= escaped ? FLIP : 0;
    escaped = false;
    if (!frame) {
        frame = pbuf_alloc(PBUF_RAW, FRAME_MAX, PBUF_POOL);
    }
    if (!frame || len == FRAME_MAX) {
        damaged = true;
        return;
    }
    ((uint8_t *)frame->payload)[len++] = byte;
    fcs = fcs_add(fcs, byte);
}

struct pbuf *ppp_line_receive(uint16_t *protocol) {
    struct pbuf *whole = NULL;
    ppp_line_gather();
    while (!whole && head != tail) {
        uint8_t byte = ring[tail++ % RING_BYTES];
        if (byte == FLAG) {
            whole = finish(protocol);
        } else {
            take(byte);
        }
    }
    return whole;
}
