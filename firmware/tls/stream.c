// stream.c: ek/stream.h over mbedTLS over a stream of net/.
//
// Events of the stream below only say that there is something to do; turn(), which the event loop
// calls, does it: one step of the handshake, or one piece of data, at a time, so that others get
// their turn between the steps. What is written waits in `stage` until then, so that several writes
// share a record. Left out: session resumption, several connections, TLS 1.2.
#include <string.h>
#include "ek/device_config.h"
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
} tls;
static mbedtls_ssl_context ssl;
static mbedtls_ssl_config conf;
static mbedtls_x509_crt ca, certificate;
static mbedtls_pk_context key;
static struct ek_poller poller;
static struct ek_timer limit, date_limit;
static uint32_t handshakes, refusals;

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
    mbedtls_ssl_free(&ssl);
    mbedtls_ssl_config_free(&conf);
    mbedtls_x509_crt_free(&ca);
    mbedtls_x509_crt_free(&certificate);
    mbedtls_pk_free(&key);
    tls_free(tls.stage);
    tls.stage = NULL;
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
    int status = EK_EPROTO;
    if (tls_heap.failures != tls.failures) {
        ek_log("tls: out of memory: no %u bytes, %u of %u in use", (unsigned)tls_heap.failed_bytes,
               (unsigned)tls_heap.live, (unsigned)tls_heap.size);
        status = EK_ENOMEM;
    } else if (error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
               error == MBEDTLS_ERR_SSL_BAD_CERTIFICATE) {
        refusals++;
        ek_log("tls: %s refused: its certificate %s", tls.host,
               tls_verify_name(mbedtls_ssl_get_verify_result(&ssl)));
    } else if (error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        ek_log("tls: %s refuses us: alert %u", tls.host, ssl.MBEDTLS_PRIVATE(in_msg)[1]);
        status = EK_EREFUSED;
    } else if (error == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || error == MBEDTLS_ERR_SSL_CONN_EOF ||
               error == 0) {
        status = EK_ECLOSED;
    } else if (error == MBEDTLS_ERR_NET_CONN_RESET) {
        status = EK_EIO;
    } else {
        ek_log("tls: %s: error -0x%x", tls.host, (unsigned)-error);
    }
    end(status);
}

static bool waits(int result) {
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
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
    tls.stage = tls_calloc(1, STAGE_BYTES);
    if (!tls.stage) {
        end_by(MBEDTLS_ERR_SSL_ALLOC_FAILED);
        return;
    }
    handshakes++;
    tls.state = OPEN;
    ek_log("tls: %s is verified%s, heap %u of %u", tls.host,
           tls_clock_known() ? "" : " (time of day unknown)", (unsigned)tls_heap.peak,
           (unsigned)tls_heap.size);
    tls.outer->events->opened(tls.outer->arg);
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
    ek_log("tls: %s does not finish the handshake", tls.host);
    end(EK_ETIMEDOUT);
}

static void on_date_limit(void *arg) { (void)arg; } // turn() sees it

static void opened(void *arg) {
    ek_timer_start(&limit, HANDSHAKE_US, on_limit, arg);
    ek_timer_start(&date_limit, DATE_US, on_date_limit, arg);
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

// Seconds since 1970, for the lower bound; days as in RFC 5280 are no matter here.
static int64_t seconds_of(const mbedtls_x509_time *time) {
    int64_t year = time->year - (time->mon <= 2), of_year = (time->mon + 9) % 12;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * of_year + 2) / 5 +
                   time->day - 1 - 719468;
    return ((days * 24 + time->hour) * 60 + time->min) * 60 + time->sec;
}

// CA, certificate and key of the device configuration; certificates stay where they lie.
static int load_identity(void) {
    size_t len;
    const uint8_t *data = ek_device_config_data("tls.ca", &len);
    if (!data) {
        ek_log("tls: the device configuration has no tls.ca");
        return EK_ENOENT;
    }
    if (mbedtls_x509_crt_parse_der_nocopy(&ca, data, len) != 0) {
        ek_log("tls: tls.ca cannot be used");
        return EK_EINVAL;
    }
    tls_clock_floor(seconds_of(&ca.valid_from));
    mbedtls_ssl_conf_ca_chain(&conf, &ca, NULL);
    data = ek_device_config_data("tls.cert", &len);
    if (!data) {
        return EK_OK; // servers that ask for none
    }
    if (mbedtls_x509_crt_parse_der_nocopy(&certificate, data, len) != 0) {
        ek_log("tls: tls.cert cannot be used");
        return EK_EINVAL;
    }
    tls_clock_floor(seconds_of(&certificate.valid_from));
    data = ek_device_config_data("tls.key", &len);
    if (!data || mbedtls_pk_parse_key(&key, data, len, NULL, 0, mbedtls_psa_get_random,
                                      MBEDTLS_PSA_RANDOM_STATE) != 0) {
        ek_log("tls: tls.key cannot be used");
        return EK_EINVAL;
    }
    return mbedtls_ssl_conf_own_cert(&conf, &certificate, &key) == 0 ? EK_OK : EK_ENOMEM;
}

// A lower bound of the time says that a certificate has expired, never that it is not yet valid.
static int on_verified(void *arg, mbedtls_x509_crt *of, int depth, uint32_t *flags) {
    (void)arg, (void)of, (void)depth;
    if (!tls_clock_known()) {
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_FUTURE;
    }
    return 0;
}

static int prepare(const char *host) {
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    mbedtls_x509_crt_init(&ca);
    mbedtls_x509_crt_init(&certificate);
    mbedtls_pk_init(&key);
    if (psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return EK_ENOMEM;
    }
    mbedtls_ssl_conf_rng(&conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_verify(&conf, on_verified, NULL);
    int status = load_identity();
    if (status != EK_OK) {
        return status;
    }
    if (mbedtls_ssl_setup(&ssl, &conf) != 0 || mbedtls_ssl_set_hostname(&ssl, host) != 0) {
        return EK_ENOMEM;
    }
    mbedtls_ssl_set_bio(&ssl, NULL, bio_send, bio_receive, NULL);
    return EK_OK;
}

int tls_open(struct ek_stream *stream, const char *host, uint16_t port,
             const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE || tls.state != FREE) {
        return EK_EINVAL;
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
            ek_log("tls: out of memory: no %u bytes", (unsigned)tls_heap.failed_bytes);
            status = EK_ENOMEM;
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
    *out = (struct tls_stats){.handshakes = handshakes,
                              .refusals = refusals,
                              .heap_size = tls_heap.size,
                              .heap_live = tls_heap.live,
                              .heap_peak = tls_heap.peak,
                              .heap_failures = tls_heap.failures};
}
