// stream.c: ek/stream.h over lwIP's raw TCP.
//
// A slot stands for one stream while it is in use; lwIP's callbacks know the slot, never the
// owner's storage, so that an answer that comes late finds nothing to harm. Data is delivered as
// lwIP delivers it; everything else is told by stream_turn().
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/net.h"
#include "ek/stream.h"
#include "lwip/dns.h"
#include "lwip/tcp.h"
#include "glue.h"

enum { OPEN_US = 20000000 };    // all of opening (ek/stream.h)
enum { CONNECT_US = 10000000 }; // of it, the TCP handshake
// A peer that vanished is noticed after 60 + 3 * 10 s of silence.
enum { KEEP_IDLE_MS = 60000, KEEP_INTERVAL_MS = 10000, KEEP_COUNT = 3 };
enum { LEAST_WRITE = 64 }; // bytes: when the heap is full, smaller pieces are not worth a segment

enum state { FREE, WAITING, RESOLVING, RESOLVED, CONNECTING, CONNECTED, OPEN, ENDED };

static struct slot {
    struct ek_stream *stream;
    const char *host;
    struct tcp_pcb *pcb;
    uint64_t deadline_us; // of WAITING, RESOLVING, CONNECTING
    ip_addr_t ip;         // from RESOLVED on
    uint32_t generation;  // counts its users
    int8_t status;        // when ENDED
    uint8_t state;
    bool written;  // something waits for tcp_output()
    bool writable; // to be told
    bool short_of; // a write was short
} slots[EK_TCP_STREAMS];

static struct slot *slot_of(const struct ek_stream *stream) { return stream->pcb; }

static void end(struct slot *slot, int status) {
    slot->status = (int8_t)status;
    slot->state = ENDED;
    net_wake();
}

// Let go of the connection; lwIP finishes it in the background, and gives it up first when it needs
// a control block.
static void drop_pcb(struct slot *slot) {
    struct tcp_pcb *pcb = slot->pcb;
    if (!pcb) {
        return;
    }
    slot->pcb = NULL;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_setprio(pcb, TCP_PRIO_MIN);
    (void)tcp_close(pcb); // without memory for a FIN it tries again by itself
}

static void release(struct slot *slot) {
    drop_pcb(slot);
    slot->stream->pcb = NULL;
    slot->stream->state = FREE;
    slot->stream = NULL;
    slot->state = FREE;
    slot->generation++;
}

// lwIP: it is over, and the control block is gone.
static void on_error(void *arg, err_t err) {
    struct slot *slot = arg;
    if (!slot) {
        return;
    }
    bool connecting = slot->state == CONNECTING;
    slot->pcb = NULL;
    if (err == ERR_RST) {
        end(slot, connecting ? EK_EREFUSED : EK_EIO);
    } else if (err == ERR_CLSD) {
        end(slot, EK_ECLOSED);
    } else {
        end(slot, connecting ? EK_ETIMEDOUT : EK_EIO);
    }
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct slot *slot = arg;
    (void)err;
    if (!p) {
        if (slot) {
            end(slot, EK_ECLOSED);
        }
        return ERR_OK;
    }
    tcp_recved(pcb, p->tot_len); // all bytes are taken, in any case
    if (slot && slot->state == CONNECTED) {
        // The peer spoke at once: the owner first hears that it is open.
        slot->state = OPEN;
        slot->stream->events->opened(slot->stream->arg);
    }
    uint32_t generation = slot ? slot->generation : 0;
    for (struct pbuf *q = p; q; q = q->next) {
        if (slot && slot->generation == generation && slot->state == OPEN) {
            slot->stream->events->received(slot->stream->arg, q->payload, q->len);
        }
    }
    pbuf_free(p);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
    struct slot *slot = arg;
    (void)pcb, (void)len;
    if (slot) {
        slot->writable = true;
    }
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct slot *slot = arg;
    (void)pcb, (void)err;
    if (slot) {
        slot->state = CONNECTED;
        net_wake();
    }
    return ERR_OK;
}

static void on_resolved(const char *name, const ip_addr_t *ip, void *arg) {
    (void)name;
    uintptr_t token = (uintptr_t)arg;
    struct slot *slot = &slots[token & 0xff];
    if (slot->state != RESOLVING || (slot->generation & 0xffffff) != token >> 8) {
        return; // closed meanwhile
    }
    if (!ip) {
        end(slot, EK_ENOENT);
        return;
    }
    slot->ip = *ip;
    slot->state = RESOLVED;
    net_wake();
}

static void resolve(struct slot *slot) {
    uintptr_t token = (uintptr_t)(slot->generation & 0xffffff) << 8 | (uintptr_t)(slot - slots);
    slot->state = RESOLVING;
    err_t err = dns_gethostbyname(slot->host, &slot->ip, on_resolved, (void *)token);
    if (err == ERR_OK) {
        slot->state = RESOLVED;
    } else if (err != ERR_INPROGRESS) {
        end(slot, err == ERR_MEM ? EK_ENOMEM : EK_ENOENT);
    }
}

static void connect(struct slot *slot) {
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb) {
        end(slot, EK_ENOMEM);
        return;
    }
    slot->pcb = pcb;
    slot->state = CONNECTING;
    uint64_t limit_us = ek_clock_us() + CONNECT_US;
    slot->deadline_us = slot->deadline_us < limit_us ? slot->deadline_us : limit_us;
    tcp_arg(pcb, slot);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb); // writes of one turn share a packet anyway
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = KEEP_IDLE_MS;
    pcb->keep_intvl = KEEP_INTERVAL_MS;
    pcb->keep_cnt = KEEP_COUNT;
    err_t err = tcp_connect(pcb, &slot->ip, slot->stream->port, on_connected);
    if (err != ERR_OK) {
        end(slot, err == ERR_RTE ? EK_EIO : EK_ENOMEM);
    }
}

static void advance(struct slot *slot) {
    if (slot->state == WAITING && ek_net_up()) {
        resolve(slot);
    }
    if (slot->state == RESOLVED) {
        connect(slot);
    }
    bool opening = slot->state == WAITING || slot->state == RESOLVING || slot->state == CONNECTING;
    if (opening && ek_clock_us() >= slot->deadline_us) {
        end(slot, slot->state == WAITING ? EK_EIO : EK_ETIMEDOUT);
    }
}

// At most one event of each kind; the owner may close, or open again, in any of them.
static void tell(struct slot *slot) {
    uint32_t generation = slot->generation;
    if (slot->state == CONNECTED) {
        slot->state = OPEN;
        slot->stream->events->opened(slot->stream->arg);
    }
    if (slot->generation == generation && slot->state == OPEN &&
        (slot->writable || slot->short_of) && ek_stream_room(slot->stream) > 0) {
        slot->writable = slot->short_of = false;
        if (slot->stream->events->writable) {
            slot->stream->events->writable(slot->stream->arg);
        }
    }
    if (slot->generation == generation && slot->state == ENDED) {
        struct ek_stream *stream = slot->stream;
        int status = slot->status;
        release(slot);
        stream->events->closed(stream->arg, status);
    }
}

void stream_turn(void) {
    for (struct slot *slot = slots; slot < slots + EK_TCP_STREAMS; slot++) {
        if (slot->state != FREE) {
            advance(slot);
            tell(slot);
        }
        if (slot->written && slot->pcb) {
            slot->written = false;
            (void)tcp_output(slot->pcb); // what does not fit now, its timer sends
        }
    }
}

int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE) {
        return EK_EINVAL;
    }
    struct slot *slot = slots;
    while (slot < slots + EK_TCP_STREAMS && slot->state != FREE) {
        slot++;
    }
    ek_assert(slot < slots + EK_TCP_STREAMS); // config.h counts the streams of the image
    stream->events = events;
    stream->arg = arg;
    stream->pcb = slot;
    stream->port = port;
    stream->state = OPEN;
    slot->stream = stream;
    slot->host = host;
    slot->deadline_us = ek_clock_us() + OPEN_US;
    slot->written = slot->writable = slot->short_of = false;
    slot->state = WAITING;
    net_wake();
    return EK_OK;
}

size_t ek_stream_room(const struct ek_stream *stream) {
    const struct slot *slot = stream->state != FREE ? slot_of(stream) : NULL;
    if (!slot || slot->state != OPEN || tcp_sndqueuelen(slot->pcb) >= TCP_SND_QUEUELEN) {
        return 0;
    }
    return tcp_sndbuf(slot->pcb);
}

int ek_stream_write(struct ek_stream *stream, const void *data, size_t len) {
    struct slot *slot = stream->state != FREE ? slot_of(stream) : NULL;
    if (!slot || slot->state != OPEN) {
        return EK_ECLOSED;
    }
    size_t room = ek_stream_room(stream);
    size_t taken = len < room ? len : room;
    while (taken > 0 && tcp_write(slot->pcb, data, (u16_t)taken, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        taken = taken >= 2 * LEAST_WRITE ? taken / 2 : 0;
    }
    slot->short_of = taken < len;
    if (taken > 0) {
        slot->written = true;
        net_wake();
    }
    return (int)taken;
}

void ek_stream_close(struct ek_stream *stream) {
    if (stream->state != FREE) {
        release(slot_of(stream));
    }
}
