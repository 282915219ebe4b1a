// tls/tls.h: TLS with the calls of ek/stream.h, over a stream of net/: 1.3, in the compatible
// profile 1.2 too. The server's chain, name and validity period are verified, always but in a
// development image that says otherwise. Of the device configuration: tls.ca (CAs, DER, one behind
// the other), tls.cert (certificate, and those between it and the broker's CA), tls.key, tls.pins
// (SHA-256 of public keys, 32 bytes each). One connection at a time.
#ifndef TLS_TLS_H
#define TLS_TLS_H
#include "ek/stream.h"

// Further statuses of `closed`: EK_EPROTO (the server is not who it should be, or breaks the
// protocol), EK_EREFUSED (the server sent an alert: our certificate, as a rule, and then only after
// `opened`), EK_ENOMEM (the heap is too small; the console says for what), EK_ERANGE (a record
// larger than EK_TLS_RECORD_BYTES). Of open: EK_ENOENT (no CA), EK_EINVAL (a certificate, a key or
// a pin cannot be used), EK_EREFUSED (random numbers that can be guessed, in a production image).
int tls_open(struct ek_stream *stream, const char *host, uint16_t port,
             const struct ek_stream_events *events, void *arg);
int tls_write(struct ek_stream *stream, const void *data, size_t len);
size_t tls_room(const struct ek_stream *stream);
void tls_close(struct ek_stream *stream);

// Why there was no connection. The first ones are faults of the server's certificate.
enum tls_reason {
    TLS_CA,          // not signed by a CA of ours, or what is between is missing
    TLS_SELF,        // signed by itself
    TLS_NAME,        // for another host
    TLS_EXPIRED,     //
    TLS_EARLY,       // not yet valid
    TLS_USAGE,       // not for signing, or not for servers
    TLS_SIGNATURE,   // signed by an algorithm that we do not take
    TLS_WEAK,        // a key that is too small, or whatever else we cannot read
    TLS_PIN,         // none of the pinned keys
    TLS_ALERT,       // the server refused us
    TLS_VERSION,     // it speaks another version
    TLS_PROTOCOL,    // it broke the protocol
    TLS_RENEGOTIATE, // it wanted another handshake
    TLS_RECORD,      // it sent a record that is too large
    TLS_CUT,         // it went amid the handshake or a record
    TLS_STALL,       // it did not finish the handshake
    TLS_MEMORY,      // an allocation failed
    TLS_IDENTITY,    // our own CA, certificate or key cannot be used
    TLS_ENTROPY,     // our random numbers can be guessed
    TLS_REASONS
};

struct tls_stats {
    uint32_t handshakes;  // that were completed
    uint32_t resumptions; // of them, with a ticket of an earlier one
    uint32_t refusals[TLS_REASONS];
    uint32_t heap_size, heap_live, heap_peak, heap_failures;
    const char *time; // what validity periods are held against: "rtc", "sntp"; else what bounds it
                      // from below, "certificates" or "build time"
};
void tls_get_stats(struct tls_stats *out);
// The same as JSON, with how safe the connection is; its length, 0 if it is more than `size`.
size_t tls_tell(char *out, size_t size, const char *entropy);
// The reason for which the last connection came to nothing or ended; "" if that was not TLS's.
const char *tls_why(void);

// Of devices.c: when the image was built, seconds since 1970 (until 2106).
extern const uint32_t tls_built_s;
#endif
