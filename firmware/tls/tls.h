// tls/tls.h: TLS 1.3 with the calls of ek/stream.h, over a stream of net/. The server's chain, name
// and validity period are always verified. CA, certificate and key are data of the device
// configuration: tls.ca, tls.cert, tls.key. One connection at a time.
#ifndef TLS_TLS_H
#define TLS_TLS_H
#include "ek/stream.h"

// Further statuses of `closed`: EK_EPROTO (the server is not who it should be, or breaks the
// protocol), EK_EREFUSED (the server sent an alert: our certificate, as a rule, and then only after
// `opened`), EK_ENOMEM (the heap is too small; the console says for what). Of open: EK_ENOENT (no
// CA), EK_EINVAL (a certificate or the key cannot be used).
int tls_open(struct ek_stream *stream, const char *host, uint16_t port,
             const struct ek_stream_events *events, void *arg);
int tls_write(struct ek_stream *stream, const void *data, size_t len);
size_t tls_room(const struct ek_stream *stream);
void tls_close(struct ek_stream *stream);

struct tls_stats {
    uint32_t handshakes, refusals; // that were completed; that we refused
    uint32_t heap_size, heap_live, heap_peak, heap_failures;
};
void tls_get_stats(struct tls_stats *out);
#endif
