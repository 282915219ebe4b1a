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
#include "mbedtls/net_sockets.h"
#include "mbedtls/psa_util.h"
#include "mbedtls/ssl.h"
#include "psa/crypto.h"
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
    uint32_t generation, failures;
    uint8_t state;
    bool due, short_of, writable;
    bool resuming; // a ticket was offered
    bool no_pss;
} tls;
static mbedtls_ssl_context ssl;
static mbedtls_ssl_config conf;
static struct ek_poller poller;
static struct ek_timer limit, date_limit;

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *out, size_t size, size_t *len) {
    (void)context;
    ek_random(out, size);
    *len = size;
    return PSA_SUCCESS;
}

static int bio_send(void *arg, const unsigned char *data, size_t len) {
    (void)arg;
    int taken = ek_stream_write(&tls.inner, data, len);
    if (taken < 0) {
        return (int)len; // the end is found by reading: who refuses us says why, then breaks off
    }
    return taken > 0 ? taken : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int bio_receive(void *arg, unsigned char *data, size_t len) {
    (void)arg;
    int got = ek_stream_read(&tls.inner, data, len);
    return got > 0 ? got : got == 0 ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_CONN_RESET;
}

static void release(void) {
    ek_timer_stop(&limit);
    ek_timer_stop(&date_limit);
    ek_stream_close(&tls.inner);
    if (tls.state == OPEN) {
        tls_ticket_keep(&ssl);
    }
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&conf);
    tls_identity_free();
    tls_free(tls.stage);
    tls.stage = NULL;
    mbedtls_psa_crypto_free(); // keys that mbedTLS forgets where an allocation failed
    tls.state = FREE;
    tls.generation++;
    tls.outer->state = FREE;
}

static void end(int status) {
    struct ek_stream *outer = tls.outer;
    release();
    outer->events->closed(outer->arg, status);
}

// What mbedTLS said ended it.
static void end_by(int error) {
    if (EK_TLS_COMPATIBLE && error == MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER &&
        mbedtls_ssl_get_version_number(&ssl) == MBEDTLS_SSL_VERSION_TLS1_2) {
        tls.no_pss = !tls.no_pss; // the next attempt, see prepare()
    }
    end(tls_report(&ssl, tls.host, error, tls_heap.failures != tls.failures));
}

static bool waits(int result) {
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void say_open(void) {
    tls_stats.handshakes++;
    const char *how = "verified";
    enum tls_reason reason;
    if (tls.resuming && !mbedtls_ssl_get_peer_cert(&ssl)) {
        tls_stats.resumptions++;
        how = "known by its ticket";
    } else if (!EK_TLS_VERIFY && mbedtls_ssl_get_verify_result(&ssl) != 0) {
        ek_log("tls: %s is NOT verified ([tls] verify = false): its certificate %s", tls.host,
               tls_verify_name(mbedtls_ssl_get_verify_result(&ssl), &reason));
        return;
    }
    ek_log("tls: %s is %s%s, %s, heap %u of %u", tls.host, how,
           tls_clock_known() ? "" : " (time of day unknown)", mbedtls_ssl_get_version(&ssl),
           (unsigned)tls_heap.peak, (unsigned)tls_heap.size);
}

// The server's certificate, which nobody looks at any more and which takes most of the memory.
static void drop_peer(void) {
    mbedtls_ssl_session *session = ssl.MBEDTLS_PRIVATE(session);
    mbedtls_x509_crt *peer = session->MBEDTLS_PRIVATE(peer_cert);
    session->MBEDTLS_PRIVATE(peer_cert) = NULL;
    mbedtls_x509_crt_free(peer);
    tls_free(peer);
}

static void shake(void) {
    int result = mbedtls_ssl_handshake_step(&ssl);
    // One that failed may otherwise show as a wrong digest.
    if (tls_heap.failures != tls.failures) {
        end_by(MBEDTLS_ERR_SSL_ALLOC_FAILED);
        return;
    }
    if (result != 0) {
        if (!waits(result)) {
            end_by(result);
        }
        return;
    }
    tls.due = true;
    if (!mbedtls_ssl_is_handshake_over(&ssl)) {
        return;
    }
    ek_timer_stop(&limit);
    say_open();
    drop_peer();
    tls.stage = tls_calloc(1, STAGE_BYTES);
    if (!tls.stage) {
        end_by(MBEDTLS_ERR_SSL_ALLOC_FAILED);
        return;
    }
    tls.state = OPEN;
    tls.outer->events->opened(tls.outer->arg);
}

static bool is_ticket(int result) {
    return EK_TLS_TICKET_BYTES > 0 && result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
}

// A record of what is staged. 0, or the error that ended the connection.
static int flush(void) {
    while (tls.staged > 0) {
        tls.sealed = tls.sealed ? tls.sealed : tls.staged;
        int result = mbedtls_ssl_write(&ssl, tls.stage, tls.sealed);
        if (waits(result)) {
            return 0;
        }
        if (result < 0) {
            return result;
        }
        tls.staged -= (size_t)result;
        tls.sealed -= (size_t)result;
        memmove(tls.stage, tls.stage + result, tls.staged);
    }
    return 0;
}

static void carry(void) {
    uint8_t piece[PIECE_BYTES];
    uint32_t generation = tls.generation;
    int result = flush();
    result = result == 0 ? mbedtls_ssl_read(&ssl, piece, sizeof piece) : result;
    if (result > 0) {
        tls.due = true;
        tls.outer->events->received(tls.outer->arg, piece, (size_t)result);
    } else if (is_ticket(result) || result == 0) {
        tls.due = true; // the ticket is in the session now; a record without data is nothing
    } else if (!waits(result)) {
        end_by(result);
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
    if (!waited && !tls.resuming) {
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
    end(status);
}

static const struct ek_stream_events inner_events = {
    .opened = opened, .readable = readable, .writable = writable, .closed = closed};

static int prepare(const char *host) {
    static const char *protocols[] = {"mqtt", NULL};
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    if (psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return EK_ENOMEM;
    }
    mbedtls_ssl_conf_rng(&conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(&conf, EK_TLS_MINIMUM_12 ? MBEDTLS_SSL_VERSION_TLS1_2
                                                              : MBEDTLS_SSL_VERSION_TLS1_3);
#if EK_TLS_COMPATIBLE
    // By preference: mbedTLS has no PSS in TLS 1.2, and TLS 1.3 no PKCS #1 in its handshake.
    // Without PSS after a server has used it in 1.2 all the same.
    static const uint16_t signatures[] = {
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
        MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256, MBEDTLS_TLS1_3_SIG_NONE};
    static const uint16_t without_pss[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
                                           MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
                                           MBEDTLS_TLS1_3_SIG_NONE};
    mbedtls_ssl_conf_sig_algs(&conf, tls.no_pss ? without_pss : signatures);
#endif
    tls_ticket_enable(&conf);
    int status = tls_identity_load(&conf);
    if (status != EK_OK) {
        tls_count(TLS_IDENTITY);
        return status;
    }
    if (mbedtls_ssl_conf_alpn_protocols(&conf, protocols) != 0 ||
        mbedtls_ssl_setup(&ssl, &conf) != 0 || mbedtls_ssl_set_hostname(&ssl, host) != 0) {
        return EK_ENOMEM;
    }
    tls.resuming = tls_ticket_offer(&ssl);
    mbedtls_ssl_set_bio(&ssl, NULL, bio_send, bio_receive, NULL);
    return EK_OK;
}

int tls_open(struct ek_stream *stream, const char *host, uint16_t port,
             const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE || tls.state != FREE) {
        return EK_EINVAL;
    }
    if (!EK_DEVELOPMENT && ek_random_is_weak()) {
        tls_count(TLS_ENTROPY);
        ek_log("tls: refused: random numbers are weak here, and the image is for production");
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
    tls.failures = tls_heap.failures;
    tls.state = OPENING;
    int status = prepare(host);
    if (status == EK_OK) {
        status = ek_stream_open(&tls.inner, host, port, &inner_events, NULL);
    }
    if (status != EK_OK) {
        if (tls_heap.failures != tls.failures) {
            status = tls_report(&ssl, host, 0, true);
        }
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
            (void)mbedtls_ssl_write(&ssl, tls.stage, tls.sealed ? tls.sealed : tls.staged);
        }
        (void)mbedtls_ssl_close_notify(&ssl);
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
