// resume.c: the last ticket of the server (RFC 8446, 4.6.1), with which the next handshake needs no
// certificates; it has a key exchange of its own all the same. Offered once (RFC 8446, C.4), and
// not when the server's chain has expired or the time of day, by which it did not, is known by now.
#include "internal.h"
#include "mbedtls/ssl.h"

#if EK_TLS_TICKET_BYTES > 0
static mbedtls_ssl_session *kept; // of a connection that is over

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

bool tls_ticket_offer(struct mbedtls_ssl_context *ssl) {
    bool offered = kept && tls_identity_verifies_still() && mbedtls_ssl_set_session(ssl, kept) == 0;
    tls_ticket_forget();
    return offered;
}

// Takes the session out of a connection that ends.
void tls_ticket_keep(struct mbedtls_ssl_context *ssl) {
    mbedtls_ssl_session *session = ssl->MBEDTLS_PRIVATE(session);
    if (session && session->MBEDTLS_PRIVATE(ticket) &&
        session->MBEDTLS_PRIVATE(ticket_len) <= EK_TLS_TICKET_BYTES &&
        mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3) {
        tls_ticket_forget();
        kept = session;
        ssl->MBEDTLS_PRIVATE(session) = NULL;
    }
}
#else
void tls_ticket_forget(void) {}

void tls_ticket_enable(struct mbedtls_ssl_config *conf) { (void)conf; }

bool tls_ticket_offer(struct mbedtls_ssl_context *ssl) {
    (void)ssl;
    return false;
}

void tls_ticket_keep(struct mbedtls_ssl_context *ssl) { (void)ssl; }
#endif
