// seal.c: whether the project has made this device configuration (kernel/seal.h). Called before
// there are random numbers, which verifying does not need.
#include "kernel/seal.h"
#include "psa/crypto.h"

static const uint8_t lead[] = "edgeuk device configuration 2"; // with its NUL

static bool digest_of(const uint8_t *copy, size_t len, uint8_t digest[32]) {
    psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
    size_t digest_len = 0;
    bool done = psa_hash_setup(&hash, PSA_ALG_SHA_256) == PSA_SUCCESS &&
                psa_hash_update(&hash, lead, sizeof lead) == PSA_SUCCESS &&
                psa_hash_update(&hash, copy, len) == PSA_SUCCESS &&
                psa_hash_finish(&hash, digest, 32, &digest_len) == PSA_SUCCESS;
    (void)psa_hash_abort(&hash);
    return done && digest_len == 32;
}

bool seal_valid(const uint8_t *copy, size_t len) {
    uint8_t digest[32];
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    mbedtls_svc_key_id_t key;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    if (psa_crypto_init() != PSA_SUCCESS || !digest_of(copy, len, digest) ||
        psa_import_key(&attributes, ek_seal_key, sizeof ek_seal_key, &key) != PSA_SUCCESS) {
        return false;
    }
    psa_status_t status = psa_verify_hash(key, PSA_ALG_ECDSA(PSA_ALG_SHA_256), digest,
                                          sizeof digest, copy + len, SEAL_BYTES);
    (void)psa_destroy_key(key);
    return status == PSA_SUCCESS;
}
