// tls_fuzz.c: libFuzzer target for firmware/tls and mbedTLS below it: the input is what a server
// says. So that the fuzzer gets behind ServerHello, it may be believed in everything (LIES): what
// would be decrypted is taken as it stands, without its last 16 bytes, every signature and digest
// is right. Then certificates, names and dates are still looked at.
// Input: one byte of MODE, two of the length of what the first connection gets, all that; the rest
// is for a second one, which may have a ticket of the first.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/status.h"
#include "internal.h"
#include "psa/crypto.h"
#include "world.h"

enum { LIES = 1, PIECES = 6, LITTLE_ROOM = 8, NO_TIME = 16, RESET = 32 }; // of MODE
enum { TICKET_BYTES_MAX = 3000, TAG_BYTES = 16, PLENTY = 1 << 20 };

static bool lies;

psa_status_t __real_psa_aead_decrypt(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                     const uint8_t *nonce, size_t nonce_len, const uint8_t *more,
                                     size_t more_len, const uint8_t *in, size_t in_len,
                                     uint8_t *out, size_t out_size, size_t *out_len);
psa_status_t __wrap_psa_aead_decrypt(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                     const uint8_t *nonce, size_t nonce_len, const uint8_t *more,
                                     size_t more_len, const uint8_t *in, size_t in_len,
                                     uint8_t *out, size_t out_size, size_t *out_len);
psa_status_t __wrap_psa_aead_decrypt(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                     const uint8_t *nonce, size_t nonce_len, const uint8_t *more,
                                     size_t more_len, const uint8_t *in, size_t in_len,
                                     uint8_t *out, size_t out_size, size_t *out_len) {
    if (!lies) {
        return __real_psa_aead_decrypt(key, alg, nonce, nonce_len, more, more_len, in, in_len, out,
                                       out_size, out_len);
    }
    if (in_len < TAG_BYTES || in_len - TAG_BYTES > out_size) {
        return PSA_ERROR_INVALID_ARGUMENT;
    }
    memmove(out, in, *out_len = in_len - TAG_BYTES);
    return PSA_SUCCESS;
}

psa_status_t __real_psa_verify_hash(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                    const uint8_t *hash, size_t hash_len, const uint8_t *signature,
                                    size_t len);
psa_status_t __wrap_psa_verify_hash(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                    const uint8_t *hash, size_t hash_len, const uint8_t *signature,
                                    size_t len);
psa_status_t __wrap_psa_verify_hash(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                    const uint8_t *hash, size_t hash_len, const uint8_t *signature,
                                    size_t len) {
    return lies ? PSA_SUCCESS : __real_psa_verify_hash(key, alg, hash, hash_len, signature, len);
}

int __real_mbedtls_ct_memcmp(const void *a, const void *b, size_t len);
int __wrap_mbedtls_ct_memcmp(const void *a, const void *b, size_t len);
int __wrap_mbedtls_ct_memcmp(const void *a, const void *b, size_t len) {
    int differ = __real_mbedtls_ct_memcmp(a, b, len); // reads all, for the sanitizer
    return lies ? 0 : differ;
}

// The costly ones, each about as long as thousand rounds without them.
psa_status_t __wrap_psa_raw_key_agreement(psa_algorithm_t alg, mbedtls_svc_key_id_t key,
                                          const uint8_t *peer, size_t peer_len, uint8_t *out,
                                          size_t size, size_t *len);
psa_status_t __wrap_psa_raw_key_agreement(psa_algorithm_t alg, mbedtls_svc_key_id_t key,
                                          const uint8_t *peer, size_t peer_len, uint8_t *out,
                                          size_t size, size_t *len) {
    (void)alg, (void)key;
    if (peer_len != 65 || peer[0] != 4 || size < 32) {
        return PSA_ERROR_INVALID_ARGUMENT;
    }
    memset(out, 7, *len = 32);
    return PSA_SUCCESS;
}

psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attributes,
                                     mbedtls_svc_key_id_t *key);
psa_status_t __wrap_psa_generate_key(const psa_key_attributes_t *attributes,
                                     mbedtls_svc_key_id_t *key) {
    static const uint8_t fixed[32] = {1, 2, 3};
    return psa_import_key(attributes, fixed, sizeof fixed, key);
}

psa_status_t __wrap_psa_export_public_key(mbedtls_svc_key_id_t key, uint8_t *data, size_t size,
                                          size_t *len);
psa_status_t __wrap_psa_export_public_key(mbedtls_svc_key_id_t key, uint8_t *data, size_t size,
                                          size_t *len) {
    (void)key;
    if (size < 65) {
        return PSA_ERROR_BUFFER_TOO_SMALL;
    }
    memset(data, 4, *len = 65);
    return PSA_SUCCESS;
}

psa_status_t __wrap_psa_sign_hash(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                  const uint8_t *hash, size_t hash_len, uint8_t *signature,
                                  size_t size, size_t *len);
psa_status_t __wrap_psa_sign_hash(mbedtls_svc_key_id_t key, psa_algorithm_t alg,
                                  const uint8_t *hash, size_t hash_len, uint8_t *signature,
                                  size_t size, size_t *len) {
    (void)key, (void)alg, (void)hash, (void)hash_len;
    if (size < 64) {
        return PSA_ERROR_BUFFER_TOO_SMALL;
    }
    memset(signature, 5, *len = 64);
    return PSA_SUCCESS;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *folder = getenv("EDGEUK_TLS_FOLDER");
    ek_assert(folder);
    world_load(folder);
    return 0;
}

static void begin(unsigned mode) {
    world.boot_unix_s = mode & NO_TIME ? 0 : atoll(getenv("EDGEUK_TLS_NOW"));
    world.room = mode & LITTLE_ROOM ? 700 : PLENTY;
    world_open();
    world_advance(4000000); // for the time server to answer
}

static void connection(unsigned mode, const uint8_t *data, size_t len) {
    static const size_t pieces[] = {100000, 1, 5, 60};
    size_t piece = pieces[(mode & PIECES) >> 1];
    bool spoken = false;
    begin(mode);
    for (size_t at = 0; at < len && !world.closed;) {
        size_t take = len - at < piece ? len - at : piece;
        uint8_t *exact = malloc(take);
        memcpy(exact, data + at, take);
        world_feed(exact, take);
        free(exact);
        at += take;
        if (world.opened && !spoken) {
            spoken = true;
            (void)world_write(pieces, sizeof pieces);
        }
        if (mode & LITTLE_ROOM) {
            world_room(50);
        }
    }
    if (!world.closed && mode & RESET) {
        world_end(EK_EIO);
    }
    if (!world.closed) {
        world_advance(WORLD_HANDSHAKE_S * 1000000u);
        ek_assert(world.opened || world.closed); // a handshake has its limit
    }
    ek_assert(world.closed <= 1);
    if (getenv("EDGEUK_TLS_SAY")) {
        printf("opened %u closed %u status %d received %zu: %s\n", world.opened, world.closed,
               world.status, world.received, world.log);
    }
    world_close();
    ek_assert(tls_heap.live <= TICKET_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) {
        return 0;
    }
    unsigned mode = data[0];
    size_t first = (size_t)(data[1] | data[2] << 8);
    first = first < size - 3 ? first : size - 3;
    lies = mode & LIES;
    world.now_us = 1000000;
    connection(mode, data + 3, first);
    if (size - 3 > first) {
        connection(mode, data + 3 + first, size - 3 - first);
    }
    begin(mode); // uses up a ticket, so that the next input finds none
    world_close();
    ek_assert(tls_heap.live == 0);
    return 0;
}
