// tls/rotation.h: an identity that replaces the one of the device configuration, kept in the role
// `storage`. The one before stays until the new one has connected. Linked where the gateway file
// says `[identity] rotate = true`: config.h then has EK_ROTATE.
#ifndef TLS_ROTATION_H
#define TLS_ROTATION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_PUBLIC_BYTES = 65, TLS_PROOF_BYTES = 64, TLS_REQUEST_MAX = 65 + 64 + 72 };

// Make a new key, in memory only. The request: the public key; r and s by it; and DER by the key of
// the connection, which must stand: ECDSA over the SHA-256 of "edgeuk identity request 2", NUL,
// `name`, NUL, the public key. The one proves that we have the new key, the other who we are.
// EK_OK; EK_ENOENT (no storage), EK_ENOMEM, EK_EREFUSED (no key so far).
int tls_rotation_request(const char *name, uint8_t request[TLS_REQUEST_MAX], size_t *len);
// A certificate for that key, DER. It is kept and used from the next connection on. NULL, or why
// not.
const char *tls_rotation_set(const char *name, const uint8_t *der, size_t len);
// An attempt to connect has ended: with CONNACK, or without. Says what follows from it, "" nothing.
const char *tls_rotation_result(bool connected);
// What identity.c uses: certificate or key; NULL where there is none.
const uint8_t *tls_rotation_data(const char *key, size_t *len);
// Whether the identity is another one than at the last call.
bool tls_rotation_changed(void);
#endif
