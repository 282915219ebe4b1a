// kernel/seal.h: what the device configuration needs of the component `seal`, which only images
// have that accept no configuration but their project's. Format: docs/device-config-spec.md.
#ifndef KERNEL_SEAL_H
#define KERNEL_SEAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEAL_BYTES = 64 };

// Whether the seal behind the `len` bytes at `copy` is of the key in ek_seal_key: r and s of ECDSA
// with P-256 over their SHA-256, with a lead before them.
bool seal_valid(const uint8_t *copy, size_t len);

// Decrypt `*len` bytes with the board's own key; `header` is authenticated with them. Where the
// plain bytes are, and their number; NULL if it is not the key. Overwrites what it returned last.
const uint8_t *seal_open(const uint8_t *header, size_t header_len, const uint8_t *payload,
                         size_t *len);

// The project's public key: 4, x, y. Generated in devices.c.
extern const uint8_t ek_seal_key[65];
#endif
