// stream.c: ek/stream.h over mbedTLS over a stream of net/.
//
// Events of the stream below only say that there is something to do; turn(), which the event loop
// calls, does it: one step of the handshake, or one piece of data, at a time, so that others get
// their turn between the steps. What is written waits in `stage` until then, so that several writes
// share a record. Left out: several connections.
#include <string.h>
#include "config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/random.h"
#include "ek/timer.h"
#include "internal.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/ssl.h"
#include "tls.h"

enum { STAGE_BYTES = 1024, PIECE_BYTES = 256 };
enum { HANDSHAKE_US = 15000000 }; // from the TCP connection; a server that stalls
enum { DATE_US = 3000000 };       // of it, for the time server to answer

enum state { FREE, OPENING, DATING, HANDSHAKE, OPEN };

static struct {
    struct ek_stream *outer; // who uses us
    struct ek_stream inner;  // that we use
    const char *host;
    uint8_t *stage;        // of the heap, once the handshake has given back its memory
    size_t staged, sealed; // bytes in `stage`; of them, in a record that has not gone entirely
    uint32_t generation;
    uint8_t state;
    bool due, short_of, writable;
} tls;
static struct ek_poller poller;
static struct ek_timer limit, date_limit;

static void release(void) {
    ek_timer_stop(&limit);
    ek_timer_stop(&date_limit);
    ek_stream_close(&tls.inner);
    tls_free(tls.stage);
    tls.stage = NULL;
    tls_session_end(tls.state == OPEN);
    tls.state = FREE;
    tls.generation++;
    tls.outer->state = FREE;
}

static void end(int status) {
    struct ek_stream *outer = tls.outer;
    release();
    outer->events->closed(outer->arg, status);
}

static bool waits(int result) {
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void shake(void) {
    bool over = false;
    int result = tls_session_step(&over);
    if (result != 0) {
        if (!waits(result)) {
            end(tls_session_fault(result));
        }
        return;
    }
    tls.due = true;
    if (!over) {
        return;
    }
    ek_timer_stop(&limit);
    tls.stage = tls_calloc(1, STAGE_BYTES);
    if (!tls.stage) {
        end(tls_session_fault(MBEDTLS_ERR_SSL_ALLOC_FAILED));
        return;
    }
    tls.state = OPEN;
    tls.outer->events->opened(tls.outer->arg);
}

// A record of what is staged. 0, or the error that ended the connection.
static int flush(void) {
    while (tls.staged > 0) {
        tls.sealed = tls.sealed ? tls.sealed : tls.staged;
        int result = mbedtls_ssl_write(&tls_ssl, tls.stage, tls.sealed);
        if (waits(result)) {
            return 0;
        }
        if (result < 0) {
            return result;
        }
        tls.staged -= (size_t)result;
        tls.sealed -= (size_t)result;
        memmove(tls.stage, tls.stage + result, tls.staged);
        mbedtls_platform_zeroize(tls.stage + tls.staged, (size_t)result); // a password, perhaps
    }
    return 0;
}

static void carry(void) {
    uint8_t piece[PIECE_BYTES];
    uint32_t generation = tls.generation;
    int result = flush();
    result = result == 0 ? mbedtls_ssl_read(&tls_ssl, piece, sizeof piece) : result;
    if (result > 0) {
        tls.due = true;
        tls.outer->events->received(tls.outer->arg, piece, (size_t)result);
    } else if (tls_ticket_came(result) || result == 0) {
        tls.due = true; // the ticket is in the session now; a record without data is nothing
    } else if (!waits(result)) {
        end(tls_session_fault(result));
        return;
    }
    if (tls.generation == generation && (tls.short_of || tls.writable) &&
        tls.staged < STAGE_BYTES) {
        tls.short_of = tls.writable = false;
        if (tls.outer->events->writable) {
            tls.outer->events->writable(tls.outer->arg);
        }
    }
}

static bool turn(void *arg) {
    (void)arg;
    if (tls.state == DATING && (tls_clock_known() || !date_limit.armed)) {
        ek_timer_stop(&date_limit);
        tls.state = HANDSHAKE;
        tls.due = true;
    }
    if (!tls.due || tls.state < HANDSHAKE) {
        return false;
    }
    tls.due = false;
    if (tls.state == HANDSHAKE) {
        shake();
    } else {
        carry();
    }
    return true;
}

static void on_limit(void *arg) {
    (void)arg;
    tls_count(TLS_STALL);
    ek_log("tls: %s does not finish the handshake", tls.host);
    end(EK_ETIMEDOUT);
}

static void on_date_limit(void *arg) { (void)arg; } // turn() sees it

static void opened(void *arg) {
    static bool waited; // once per boot: a network without a time server is not to cost more
    ek_timer_start(&limit, HANDSHAKE_US, on_limit, arg);
    if (!waited && !tls_session_resumes()) {
        waited = true;
        ek_timer_start(&date_limit, DATE_US, on_date_limit, arg);
    }
    tls.state = DATING;
}

static void readable(void *arg) {
    (void)arg;
    tls.due = true;
}

static void writable(void *arg) {
    (void)arg;
    tls.due = tls.writable = true;
}

static void closed(void *arg, int status) {
    (void)arg;
    if (tls.state != OPENING) {
        tls_session_gone();
    }
    end(status);
}

static const struct ek_stream_events inner_events = {
    .opened = opened, .readable = readable, .writable = writable, .closed = closed};

int tls_open(struct ek_stream *stream, const char *host, uint16_t port,
             const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE || tls.state != FREE) {
        return EK_EINVAL;
    }
    tls_count_nothing();
    if (!EK_DEVELOPMENT && ek_random_is_weak()) {
        static bool said; // MQTT tries again for ever
        tls_count(TLS_ENTROPY);
        if (!said) {
            ek_log("tls: refused: random numbers are weak here, and the image is for production");
        }
        said = true;
        return EK_EREFUSED;
    }
    if (!poller.poll) {
        poller.poll = turn;
        ek_loop_add(&poller);
    }
    stream->events = events;
    stream->arg = arg;
    stream->state = OPEN;
    tls.outer = stream;
    tls.host = host;
    tls.staged = tls.sealed = 0;
    tls.due = tls.short_of = tls.writable = false;
    tls.state = OPENING;
    int status = tls_session_begin(host, &tls.inner);
    if (status == EK_OK) {
        status = ek_stream_open(&tls.inner, host, port, &inner_events, NULL);
    }
    if (status != EK_OK) {
        release();
    }
    return status;
}

size_t tls_room(const struct ek_stream *stream) {
    return stream->state != FREE && tls.state == OPEN ? STAGE_BYTES - tls.staged : 0;
}

int tls_write(struct ek_stream *stream, const void *data, size_t len) {
    if (stream->state == FREE || tls.state != OPEN) {
        return EK_ECLOSED;
    }
    size_t room = STAGE_BYTES - tls.staged;
    size_t taken = len < room ? len : room;
    if (taken > 0) {
        memcpy(tls.stage + tls.staged, data, taken);
    }
    tls.staged += taken;
    tls.short_of = taken < len;
    tls.due = true;
    return (int)taken;
}

void tls_close(struct ek_stream *stream) {
    if (stream->state == FREE) {
        return;
    }
    if (tls.state == OPEN) {
        if (tls.staged > 0) {
            (void)mbedtls_ssl_write(&tls_ssl, tls.stage, tls.sealed ? tls.sealed : tls.staged);
        }
        (void)mbedtls_ssl_close_notify(&tls_ssl);
    }
    release();
}

void tls_get_stats(struct tls_stats *out) {
    *out = tls_stats;
    out->heap_size = tls_heap.size;
    out->heap_live = tls_heap.live;
    out->heap_peak = tls_heap.peak;
    out->heap_failures = tls_heap.failures;
    out->time = tls_clock_source();
}
