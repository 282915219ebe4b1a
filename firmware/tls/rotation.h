// tls/rotation.h: an identity that replaces the one of the device configuration, kept in the role
// `storage`. The one before stays until the new one has connected. Linked where the gateway file
// says `[identity] rotate = true`: config.h then has EK_ROTATE.
#ifndef TLS_ROTATION_H
#define TLS_ROTATION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_PUBLIC_BYTES = 65, TLS_PROOF_BYTES = 64 };

// Make a new key, in memory only, and a proof that we have it: ECDSA over the SHA-256 of "edgeuk
// identity request 1", NUL, `name`, NUL, the public key. EK_OK; EK_ENOENT (no storage), EK_ENOMEM.
int tls_rotation_request(const char *name, uint8_t public[TLS_PUBLIC_BYTES],
                         uint8_t proof[TLS_PROOF_BYTES]);
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
