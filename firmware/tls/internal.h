// tls/internal.h: what the files of tls/ know of each other.
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tls.h"

struct mbedtls_ssl_config;
struct mbedtls_ssl_context;

struct heap_stats {
    uint32_t size, live, peak; // bytes, with what blocks cost
    uint32_t failures;         // requests that found no room
    uint32_t failed_bytes;     // the last of them
};
extern struct heap_stats tls_heap;

// clock.c: by now it is later than this.
void tls_clock_floor(int64_t unix_s);
// Whether the time of day comes from somewhere, not from the floor.
bool tls_clock_known(void);
const char *tls_clock_source(void);

// identity.c: whom we trust and who we are. The statuses of tls_open(); says on the console what is
// wrong.
int tls_identity_load(struct mbedtls_ssl_config *conf);
// Whom: whether it is an address, which the certificate is then held against here; mbedTLS, if it
// knew, would send it as the server's name, which RFC 6066, 3 forbids.
bool tls_identity_expect(const char *host);
void tls_identity_free(void);
// The handshake is over: the key is forgotten, where it signs nothing more.
void tls_identity_used(void);
// Whether the chain that was verified last would be still: with a ticket nothing else is looked at.
bool tls_identity_verifies_still(void);
// Sign with the key of the connection that stands: DER, ECDSA; false without one.
enum { TLS_SIGNATURE_MAX = 72 };
bool tls_identity_sign(const uint8_t digest[32], uint8_t out[TLS_SIGNATURE_MAX], size_t *len);

// resume.c: tickets. Offer: the one that is kept, which is gone then. Check: before each step of a
// handshake; 0, or mbedTLS's error. Came: whether that is what reading said, which is noted. Spoil:
// nothing of this connection is to be kept. Keep: that of one that stood, before it is freed.
void tls_ticket_enable(struct mbedtls_ssl_config *conf);
bool tls_ticket_offer(struct mbedtls_ssl_context *ssl);
int tls_ticket_check(struct mbedtls_ssl_context *ssl);
bool tls_ticket_came(int result);
void tls_ticket_spoil(void);
void tls_ticket_forget(void);
void tls_ticket_keep(struct mbedtls_ssl_context *ssl);

// session.c: the one session of mbedTLS. Begin: the statuses of tls_open(); `below` is to carry it.
// Step: one of the handshake, until it is over; 0, or mbedTLS's error. Fault: the status for what
// mbedTLS said ended it, which is told and counted. Gone: the stream below has ended, as is told
// and counted if that came too early. End: after begin, whatever that said.
extern struct mbedtls_ssl_context tls_ssl;
int tls_session_begin(const char *host, struct ek_stream *below);
bool tls_session_resumes(void); // it has offered a ticket
int tls_session_step(bool *over);
int tls_session_fault(int error);
void tls_session_gone(void);
void tls_session_end(bool stood);

// report.c: why the server's certificate was refused, of MBEDTLS_X509_BADCERT_*: the sentence's
// end and the reason.
const char *tls_verify_name(uint32_t flags, enum tls_reason *reason);
// Besides mbedTLS's own: a certificate that is signed by itself, or of which we know too little.
enum { TLS_BADCERT_SELF = 1 << 24, TLS_BADCERT_UNREADABLE = 1 << 25 };
// Whether the server wants another handshake on the connection that stands: its last message.
bool tls_wants_another(const struct mbedtls_ssl_context *ssl);
// The server has gone: noted if that was amid something.
void tls_report_end(const struct mbedtls_ssl_context *ssl, const char *host);
// What mbedTLS said ended a connection to `host`: console, counters; the status for `closed`.
int tls_report(const struct mbedtls_ssl_context *ssl, const char *host, int error, bool no_memory);
void tls_count(enum tls_reason reason);
void tls_count_nothing(void); // a connection begins
extern struct tls_stats tls_stats;
#endif
