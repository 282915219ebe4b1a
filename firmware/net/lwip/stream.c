// stream.c: ek/stream.h over lwIP's raw TCP.
//
// A slot stands for one stream while it is in use; lwIP's callbacks know the
// slot, never the owner's storage, so that an answer that comes late finds
// nothing to harm. Data is delivered as lwIP delivers it; everything else is
// told by stream_turn().
#include "ek/stream.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/net.h"
#include "glue.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include <string.h>

enum { OPEN_US = 20000000 };    // all of opening (ek/stream.h)
enum { CONNECT_US = 10000000 }; // of it, the TCP handshake
enum { LEAST_WRITE = 64 }; // bytes: when the heap is full, smaller pieces are not worth a segment

enum state { FREE, WAITING, RESOLVING, CONNECTING, CONNECTED, OPEN, ENDED };

static struct slot {
    struct ek_stream *stream;
    const char *host;
    struct tcp_pcb *pcb;
    uint64_t deadline_us; // of WAITING, RESOLVING, CONNECTING
    uint32_t generation;  // counts its users
    int8_t status;        // when ENDED
    uint8_t state;
    bool written;  // something waits for tcp_output()
    bool writable; // to be told
    bool short_of; // a write was short
#ifdef EK_TLS
    struct pbuf *queue; // came, to be read
#endif
} slots[EK_TCP_STREAMS];

// The first slots are for connections that peers open, and for no others: however many come, there
// is one for each stream that is opened here.
static struct slot *free_slot(struct slot *slot, const struct slot *end) {
    while (slot < end && slot->state != FREE) {
        slot++;
    }
    return slot < end ? slot : NULL;
}

static struct slot *slot_of(const struct ek_stream *stream) { return stream->pcb; }

static void end(struct slot *slot, int status) {
    slot->status = (int8_t)status;
    slot->state = ENDED;
    net_wake();
}

// Let go of the connection; lwIP finishes it in the background, and gives it up
// first when it needs a control block.
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
#ifdef EK_TLS
    if (slot->queue) {
        pbuf_free(slot->queue);
        slot->queue = NULL;
    }
#endif
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
#ifdef EK_TLS
    if (slot && slot->stream->events->readable) {
        if (slot->queue) {
            pbuf_cat(slot->queue, p);
        } else {
            slot->queue = p;
        }
        net_wake();
        return ERR_OK;
    }
#endif
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

static void own(struct slot *slot, struct tcp_pcb *pcb) {
    slot->pcb = pcb;
    tcp_arg(pcb, slot);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb); // writes of one turn share a packet anyway
}

// Connections that were closed here and whose peer no longer answers would hold what they have not
// got rid of, perhaps most of the heap, for a quarter of an hour (TCP_MAXRTX).
static void abort_dead(void) {
    struct tcp_pcb *next;
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = next) {
        next = pcb->next;
        if (pcb->prio == TCP_PRIO_MIN && pcb->nrtx > 0) {
            tcp_abort(pcb);
        }
    }
}

static void connect(struct slot *slot, uint32_t address) {
    ip_addr_t ip = {address};
    abort_dead();
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb) {
        end(slot, EK_ENOMEM);
        return;
    }
    own(slot, pcb);
    slot->state = CONNECTING;
    uint64_t limit_us = ek_clock_us() + CONNECT_US;
    slot->deadline_us = slot->deadline_us < limit_us ? slot->deadline_us : limit_us;
    ip_set_option(pcb, SOF_KEEPALIVE);
    tcp_init(); // which is only to choose another first port: lwIP would count on from the last
    err_t err = tcp_connect(pcb, &ip, slot->stream->port, on_connected);
    if (err != ERR_OK) {
        end(slot, err == ERR_RTE ? EK_EIO : EK_ENOMEM);
    }
}

static void advance(struct slot *slot) {
    if ((slot->state == WAITING || slot->state == RESOLVING) && ek_net_up()) {
        uint32_t address;
        slot->state = RESOLVING;
        int status = resolver_ask(slot->host, &address);
        if (status == EK_OK) {
            connect(slot, address);
        } else if (status != EK_EAGAIN) {
            end(slot, status);
        }
    }
    bool opening = slot->state == WAITING || slot->state == RESOLVING || slot->state == CONNECTING;
    if (opening && ek_clock_us() >= slot->deadline_us) {
        end(slot, slot->state == WAITING ? EK_EIO : EK_ETIMEDOUT);
    }
}

// At most one event of each kind; the owner may close, or open again, in any of
// them.
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
#ifdef EK_TLS
    if (slot->generation == generation && slot->queue) {
        slot->stream->events->readable(slot->stream->arg);
        return; // the end waits until all is read
    }
#endif
    if (slot->generation == generation && slot->state == ENDED) {
        struct ek_stream *stream = slot->stream;
        int status = slot->status;
        release(slot);
        stream->events->closed(stream->arg, status);
    }
}

// Send what was written. The last segment says that the peer's program may have it now (RFC 9293,
// 3.9.1.2), as tcp_write() left open. What does not fit now, lwIP's timer sends.
static void push(struct tcp_pcb *pcb) {
    for (struct tcp_seg *segment = pcb->unsent; segment; segment = segment->next) {
        if (!segment->next) {
            TCPH_SET_FLAG(segment->tcphdr, TCP_PSH);
        }
    }
    (void)tcp_output(pcb);
}

// The last slot first: MQTT, which opens after the sensors, is not to wait for them at boot.
void stream_turn(void) {
    for (struct slot *slot = slots + EK_TCP_STREAMS; slot-- > slots;) {
        if (slot->state != FREE) {
            advance(slot);
            tell(slot);
        }
        if (slot->written && slot->pcb) {
            slot->written = false;
            push(slot->pcb);
        }
    }
}

int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE) {
        return EK_EINVAL;
    }
    struct slot *slot = free_slot(slots + EK_SERVICE_STREAMS, slots + EK_TCP_STREAMS);
    ek_assert(slot != NULL); // config.h counts the streams of the image
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
    // MORE: with room behind it, so that small writes share a buffer.
    while (taken > 0 && tcp_write(slot->pcb, data, (u16_t)taken,
                                  TCP_WRITE_FLAG_COPY | TCP_WRITE_FLAG_MORE) != ERR_OK) {
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

#ifdef EK_TLS
int ek_stream_read(struct ek_stream *stream, void *data, size_t len) {
    struct slot *slot = stream->state != FREE ? slot_of(stream) : NULL;
    if (!slot || !slot->queue) {
        return slot ? 0 : EK_ECLOSED;
    }
    u16_t part = (u16_t)(len < slot->queue->tot_len ? len : slot->queue->tot_len);
    part = pbuf_copy_partial(slot->queue, data, part, 0);
    slot->queue = pbuf_free_header(slot->queue, part);
    if (slot->pcb) {
        tcp_recved(slot->pcb, part);
    }
    net_wake();
    return part;
}
#endif

int stream_adopt(struct ek_stream *stream, struct tcp_pcb *pcb,
                 const struct ek_stream_events *events, void *arg) {
    struct slot *slot = free_slot(slots, slots + EK_SERVICE_STREAMS);
    if (stream->state != FREE || !slot) {
        return stream->state != FREE ? EK_EINVAL : EK_ENOMEM;
    }
    *stream = (struct ek_stream){.events = events, .arg = arg, .pcb = slot, .state = OPEN};
    slot->stream = stream;
    slot->written = slot->writable = slot->short_of = false;
    slot->state = CONNECTED;
    tcp_setprio(pcb, TCP_PRIO_NORMAL);
    own(slot, pcb);
    net_wake();
    return EK_OK;
}
