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

// clock.c: no certificate that we hold is older than now.
void tls_clock_floor(int64_t unix_s);
// Whether the time of day comes from somewhere, not from the floor.
bool tls_clock_known(void);
const char *tls_clock_source(void);

// identity.c: whom we trust and who we are. The statuses of tls_open(); says on the console what is
// wrong.
int tls_identity_load(struct mbedtls_ssl_config *conf);
void tls_identity_free(void);

// resume.c: tickets. Offer: the one that is kept, which is gone then. Keep: that of a connection
// that stood, before it is freed.
void tls_ticket_enable(struct mbedtls_ssl_config *conf);
bool tls_ticket_offer(struct mbedtls_ssl_context *ssl);
void tls_ticket_forget(void);
void tls_ticket_keep(struct mbedtls_ssl_context *ssl);

// report.c: why the server's certificate was refused, of MBEDTLS_X509_BADCERT_*: the sentence's
// end and the reason.
const char *tls_verify_name(uint32_t flags, enum tls_reason *reason);
// What mbedTLS said ended a connection to `host`: console, counters; the status for `closed`.
int tls_report(const struct mbedtls_ssl_context *ssl, const char *host, int error, bool no_memory);
void tls_count(enum tls_reason reason);
extern struct tls_stats tls_stats;
#endif
