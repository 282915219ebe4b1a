// session.c: the one session of mbedTLS that there is: set up, its handshake, what ended it.
#include "config.h"
#include "ek/log.h"
#include "ek/random.h"
#include "internal.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/psa_util.h"
#include "mbedtls/ssl.h"
#include "psa/crypto.h"

mbedtls_ssl_context tls_ssl;
static mbedtls_ssl_config conf;
static struct {
    const char *host;
    uint32_t failures; // of the heap, before it
    bool resuming;     // a ticket was offered
    bool no_pss;       // is not offered, see tls_session_fault()
} session;

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *out, size_t size, size_t *len) {
    (void)context;
    ek_random(out, size);
    *len = size;
    return PSA_SUCCESS;
}

static int bio_send(void *below, const unsigned char *data, size_t len) {
    int taken = ek_stream_write(below, data, len);
    if (taken < 0) {
        return (int)len; // the end is found by reading: who refuses us says why, then breaks off
    }
    return taken > 0 ? taken : MBEDTLS_ERR_SSL_WANT_WRITE;
}

// mbedTLS asks for each record's head. In 1.2 it would only warn who wants another handshake.
static int bio_receive(void *below, unsigned char *data, size_t len) {
    if (EK_TLS_COMPATIBLE && tls_wants_another(&tls_ssl)) {
        return MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE;
    }
    int got = ek_stream_read(below, data, len);
    return got > 0 ? got : got == 0 ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_CONN_RESET;
}

static bool no_memory(void) { return tls_heap.failures != session.failures; }

static int prepare(const char *host, struct ek_stream *below) {
    static const char *protocols[] = {"mqtt", NULL};
    mbedtls_ssl_init(&tls_ssl);
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
    static const uint16_t signatures[] = {
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
        MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256, MBEDTLS_TLS1_3_SIG_NONE};
    static const uint16_t without_pss[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
                                           MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
                                           MBEDTLS_TLS1_3_SIG_NONE};
    mbedtls_ssl_conf_sig_algs(&conf, session.no_pss ? without_pss : signatures);
#endif
#ifdef MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
    // Its setter refuses what is larger than our own records.
    conf.MBEDTLS_PRIVATE(mfl_code) = TLS_FRAGMENT_CODE;
#endif
    tls_ticket_enable(&conf);
    int status = tls_identity_load(&conf);
    if (status != EK_OK) {
        tls_count(TLS_IDENTITY);
        return status;
    }
    if (mbedtls_ssl_conf_alpn_protocols(&conf, protocols) != 0 ||
        mbedtls_ssl_setup(&tls_ssl, &conf) != 0 ||
        mbedtls_ssl_set_hostname(&tls_ssl, tls_identity_expect(host) ? NULL : host) != 0) {
        return EK_ENOMEM;
    }
    session.resuming = tls_ticket_offer(&tls_ssl);
    mbedtls_ssl_set_bio(&tls_ssl, below, bio_send, bio_receive, NULL);
    return EK_OK;
}

int tls_session_begin(const char *host, struct ek_stream *below) {
    session.host = host;
    session.failures = tls_heap.failures;
    int status = prepare(host, below);
    return status != EK_OK && no_memory() ? tls_report(&tls_ssl, host, 0, true) : status;
}

bool tls_session_resumes(void) { return session.resuming; }

static void say_open(void) {
    tls_stats.handshakes++;
    const char *how = "verified";
    enum tls_reason reason;
    if (session.resuming && !mbedtls_ssl_get_peer_cert(&tls_ssl)) {
        tls_stats.resumptions++;
        how = "known by its ticket";
    } else if (!EK_TLS_VERIFY && mbedtls_ssl_get_verify_result(&tls_ssl) != 0) {
        ek_log("tls: %s is NOT verified ([tls] verify = false): its certificate %s", session.host,
               tls_verify_name(mbedtls_ssl_get_verify_result(&tls_ssl), &reason));
        return;
    }
    ek_log("tls: %s is %s, %s, time %s%s, heap %u of %u", session.host, how,
           mbedtls_ssl_get_version(&tls_ssl), tls_clock_known() ? "by " : "not before the ",
           tls_clock_source(), (unsigned)tls_heap.peak, (unsigned)tls_heap.size);
}

// What nobody looks at any more: the server's certificate, which takes most of the memory, our key,
// and the secrets that the keys of this connection were made of.
static void drop_used(void) {
    mbedtls_ssl_session *of = tls_ssl.MBEDTLS_PRIVATE(session);
    mbedtls_x509_crt *peer = of->MBEDTLS_PRIVATE(peer_cert);
    of->MBEDTLS_PRIVATE(peer_cert) = NULL;
    mbedtls_x509_crt_free(peer);
    tls_free(peer);
    tls_identity_used();
    mbedtls_ssl_tls13_application_secrets *secrets = &of->MBEDTLS_PRIVATE(app_secrets);
    mbedtls_platform_zeroize(
        secrets, offsetof(mbedtls_ssl_tls13_application_secrets, resumption_master_secret));
}

int tls_session_step(bool *over) {
    int result = tls_ticket_check(&tls_ssl);
    result = result == 0 ? mbedtls_ssl_handshake_step(&tls_ssl) : result;
    // One that failed may otherwise show as a wrong digest.
    if (no_memory()) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    *over = result == 0 && mbedtls_ssl_is_handshake_over(&tls_ssl);
    if (*over) {
        say_open();
        drop_used();
    }
    return result;
}

int tls_session_fault(int error) {
    // A server of 1.2 may sign with PSS, as it is offered for 1.3: not in the next attempt, and
    // then not for as long as that goes well.
    if (EK_TLS_COMPATIBLE && !mbedtls_ssl_is_handshake_over(&tls_ssl)) {
        session.no_pss = !session.no_pss && error == MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER &&
                         mbedtls_ssl_get_version_number(&tls_ssl) == MBEDTLS_SSL_VERSION_TLS1_2;
    }
    int status = tls_report(&tls_ssl, session.host, error, no_memory());
    if (status != EK_ECLOSED && status != EK_EIO) { // an alert or what deserves one: RFC 8446, 6.2
        tls_ticket_spoil();
    }
    return status;
}

void tls_session_gone(void) { tls_report_end(&tls_ssl, session.host); }

void tls_session_end(bool stood) {
    if (stood) {
        tls_ticket_keep(&tls_ssl);
    }
    mbedtls_ssl_free(&tls_ssl);
    mbedtls_ssl_config_free(&conf);
    tls_identity_free();
    mbedtls_psa_crypto_free(); // keys that mbedTLS forgets where an allocation failed
}
