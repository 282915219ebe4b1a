// resume.c: the last ticket of the server (RFC 8446, 4.6.1), with which the next handshake needs no
// certificates; it has a key exchange of its own all the same. Offered once (RFC 8446, C.4), and
// not when the server's chain has expired or the time of day, by which it did not, is known by now.
// TLS 1.2 has no key exchange then (RFC 5077, or RFC 5246, 7.3, by the session's number).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion" // sources of others
#include <common.h>
#include <ssl_misc.h>
#pragma GCC diagnostic pop
#include "internal.h"

#if EK_TLS_TICKET_BYTES > 0
enum { DAY_S = 86400 };

static mbedtls_ssl_session *kept; // of a connection that is over
static bool offered;
static bool fit; // the session may be kept

void tls_ticket_forget(void) {
    if (kept) {
        mbedtls_ssl_session_free(kept);
        tls_free(kept);
        kept = NULL;
    }
}

void tls_ticket_enable(struct mbedtls_ssl_config *conf) {
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
}

// TLS 1.2: a day after the handshake that made its keys, however often they were resumed (RFC 5246,
// F.1.4). In 1.3 the server says how long, and mbedTLS goes by it.
static bool is_old(const mbedtls_ssl_session *session) {
    return EK_TLS_COMPATIBLE && session->tls_version == MBEDTLS_SSL_VERSION_TLS1_2 &&
           (uint64_t)(tls_time(NULL) - session->start) > DAY_S;
}

bool tls_ticket_offer(struct mbedtls_ssl_context *ssl) {
    offered = kept && !is_old(kept) && tls_identity_verifies_still() &&
              mbedtls_ssl_set_session(ssl, kept) == 0;
    fit = false;
    tls_ticket_forget();
    return offered;
}

// A session of TLS 1.2 must be bound to its handshake (RFC 7627, 5.3) or others could be made to
// have its keys. It is offered without 1.3, which mbedTLS cannot do at once, so what comes of one
// that is refused is not kept: the next connection is to offer 1.3 again.
int tls_ticket_check(struct mbedtls_ssl_context *ssl) {
#if EK_TLS_COMPATIBLE
    const mbedtls_ssl_handshake_params *handshake = ssl->handshake;
    if (!handshake || mbedtls_ssl_get_version_number(ssl) != MBEDTLS_SSL_VERSION_TLS1_2) {
        return 0;
    }
    bool resumed = handshake->resume && ssl->state > MBEDTLS_SSL_SERVER_HELLO;
    bool bound = handshake->extended_ms == MBEDTLS_SSL_EXTENDED_MS_ENABLED;
    if (resumed && !bound) {
        (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
        return MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE;
    }
    fit = bound && resumed == offered;
#else
    (void)ssl;
#endif
    return 0;
}

// The session of a resumed connection has the offered ticket in it until a new one comes.
bool tls_ticket_came(int result) {
    bool came = result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
    fit = fit || came;
    return came;
}

void tls_ticket_spoil(void) { fit = false; }

// Takes the session out of a connection that ends.
void tls_ticket_keep(struct mbedtls_ssl_context *ssl) {
    mbedtls_ssl_session *session = ssl->session;
    if (session && fit &&
        (session->ticket ? session->ticket_len <= EK_TLS_TICKET_BYTES : session->id_len > 0)) {
        tls_ticket_forget();
        mbedtls_platform_zeroize(&session->app_secrets, sizeof session->app_secrets);
        kept = session;
        ssl->session = NULL;
    }
}
#else
void tls_ticket_forget(void) {}

void tls_ticket_enable(struct mbedtls_ssl_config *conf) { (void)conf; }

bool tls_ticket_offer(struct mbedtls_ssl_context *ssl) {
    (void)ssl;
    return false;
}

int tls_ticket_check(struct mbedtls_ssl_context *ssl) {
    (void)ssl;
    return 0;
}

bool tls_ticket_came(int result) {
    (void)result;
    return false;
}

void tls_ticket_spoil(void) {}

void tls_ticket_keep(struct mbedtls_ssl_context *ssl) { (void)ssl; }
#endif
