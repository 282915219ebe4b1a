// device_key.c: decrypts a device configuration that was made for this board alone (kernel/seal.h).
#include <string.h>
#include "ek/device_key.h"
#include "kernel/seal.h"
#include "mbedtls/platform_util.h"
#include "psa/crypto.h"

enum { NONCE_BYTES = 12, TAG_BYTES = 16, KEY_BYTES = 16, PLAIN_BYTES = 4096 };

extern const struct ek_device_key ek_role_device_key; // devices.c

static const uint8_t label[] = {"edgeuk device configuration 2\0key"};
static uint8_t plain[PLAIN_BYTES]; // for ever: it is the configuration

// A key that one operation may be done with; false if there is no room for it.
static bool key_of(const uint8_t *bytes, size_t len, psa_key_type_t type, psa_algorithm_t algorithm,
                   psa_key_usage_t usage, mbedtls_svc_key_id_t *key) {
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, type);
    psa_set_key_algorithm(&attributes, algorithm);
    psa_set_key_usage_flags(&attributes, usage);
    return psa_import_key(&attributes, bytes, len, key) == PSA_SUCCESS;
}

// HMAC-SHA-256 of the label, keyed with the board's own key.
static bool derive(uint8_t out[32]) {
    uint8_t secret[EK_DEVICE_KEY_BYTES];
    mbedtls_svc_key_id_t key;
    size_t len = 0;
    bool done = ek_role_device_key.ops->read(ek_role_device_key.dev, secret) == EK_OK &&
                key_of(secret, sizeof secret, PSA_KEY_TYPE_HMAC, PSA_ALG_HMAC(PSA_ALG_SHA_256),
                       PSA_KEY_USAGE_SIGN_MESSAGE, &key);
    mbedtls_platform_zeroize(secret, sizeof secret);
    if (!done) {
        return false;
    }
    done = psa_mac_compute(key, PSA_ALG_HMAC(PSA_ALG_SHA_256), label, sizeof label - 1, out, 32,
                           &len) == PSA_SUCCESS;
    (void)psa_destroy_key(key);
    return done;
}

const uint8_t *seal_open(const uint8_t *header, size_t header_len, const uint8_t *payload,
                         size_t *len) {
    uint8_t derived[32];
    mbedtls_svc_key_id_t key;
    if (*len < NONCE_BYTES + TAG_BYTES || psa_crypto_init() != PSA_SUCCESS || !derive(derived)) {
        return NULL;
    }
    mbedtls_platform_zeroize(plain, sizeof plain); // of another copy, which may be longer
    bool done =
        key_of(derived, KEY_BYTES, PSA_KEY_TYPE_AES, PSA_ALG_GCM, PSA_KEY_USAGE_DECRYPT, &key);
    mbedtls_platform_zeroize(derived, sizeof derived);
    if (!done) {
        return NULL;
    }
    done = psa_aead_decrypt(key, PSA_ALG_GCM, payload, NONCE_BYTES, header, header_len,
                            payload + NONCE_BYTES, *len - NONCE_BYTES, plain, sizeof plain,
                            len) == PSA_SUCCESS;
    (void)psa_destroy_key(key);
    return done ? plain : NULL;
}
