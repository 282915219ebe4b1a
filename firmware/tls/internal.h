// tls/internal.h: what the files of tls/ know of each other.
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

// report.c: why the server's certificate was refused, of MBEDTLS_X509_BADCERT_*.
const char *tls_verify_name(uint32_t flags);
#endif
