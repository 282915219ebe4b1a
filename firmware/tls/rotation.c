// rotation.c: see tls/rotation.h.
//
// Storage has two slots, each a record and, one unit further, a mark that says how it went. Only
// the slot that is not in use is written, so that a power failure, whenever it comes, leaves the
// identity that has worked last. A record belongs to the certificate of the device configuration
// that it replaced: who writes another configuration is obeyed.
#include "rotation.h"
#include <string.h>
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/storage.h"
#include "internal.h"
#include "kernel/seal.h"
#include "mbedtls/oid.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/x509_crt.h"
#include "psa/crypto.h"

enum { SLOTS = 2, SLOT_BYTES = 8192, MARK_AT = 4096, RECORD_BYTES = 2048 };
enum { HASH = 32, KEY_DER = 121, NONE = -1, TRIES = 3 };
enum mark_state { MARK_GOOD = 1, MARK_BAD = 2 };

extern const struct ek_storage ek_role_storage; // devices.c

struct record {
    char magic[4];        // "EKI1"
    uint8_t digest[HASH]; // SHA-256 of all behind it, as far as the certificate goes
    uint32_t sequence;    // from 1; the higher one is newer
    uint16_t key_len, cert_len;
    uint8_t base[HASH]; // SHA-256 of the device configuration's tls.cert
    uint8_t data[RECORD_BYTES - 76];
};
struct mark {
    char magic[4];        // "EKM1"
    uint8_t digest[HASH]; // SHA-256 of all behind it
    uint8_t of[HASH];     // the digest of the record that it is about
    uint32_t state;
    uint8_t rest[EK_STORAGE_BLOCK - 72];
};
_Static_assert(sizeof(struct record) == RECORD_BYTES && RECORD_BYTES % EK_STORAGE_BLOCK == 0, "");
_Static_assert(sizeof(struct mark) == EK_STORAGE_BLOCK, "");
enum { RECORD_HEAD = 4 + HASH, RECORD_FIXED = RECORD_BYTES - sizeof(((struct record *)0)->data) };
enum { MARK_COVERED = HASH + 4 };

static struct record records[SLOTS];
static struct mark mark;
static int current = NONE, trial = NONE, used = NONE; // slots; NONE: the device configuration
static unsigned failures;
static bool loaded, changed;
static bool unmarked; // the trial is over, and storage does not take that
static int storage_status = EK_ENOENT;
static uint8_t pending[32], pending_public[TLS_PUBLIC_BYTES]; // of the request
static bool is_pending;

static bool digest_of(const void *data, size_t len, uint8_t out[HASH]) {
    size_t size = 0;
    return psa_hash_compute(PSA_ALG_SHA_256, data, len, out, HASH, &size) == PSA_SUCCESS;
}

static bool has_digest(const uint8_t digest[HASH], const void *data, size_t len) {
    uint8_t found[HASH];
    return digest_of(data, len, found) && memcmp(found, digest, HASH) == 0;
}

static bool base_of(uint8_t out[HASH]) {
    size_t len = 0;
    const uint8_t *cert = ek_device_config_data("tls.cert", &len);
    return digest_of(cert ? cert : out, cert ? len : 0, out);
}

static bool is_record(const struct record *record) {
    size_t len = RECORD_FIXED - RECORD_HEAD + (size_t)record->key_len + record->cert_len;
    uint8_t base[HASH];
    return memcmp(record->magic, "EKI1", 4) == 0 && len <= RECORD_BYTES - RECORD_HEAD &&
           has_digest(record->digest, &record->sequence, len) && base_of(base) &&
           memcmp(base, record->base, HASH) == 0;
}

static uint32_t mark_of(int slot) {
    uint64_t at = (uint64_t)slot * SLOT_BYTES + MARK_AT;
    bool is_mark = ek_role_storage.ops->read(ek_role_storage.dev, at, (uint8_t *)&mark,
                                             sizeof mark) == EK_OK &&
                   memcmp(mark.magic, "EKM1", 4) == 0 &&
                   has_digest(mark.digest, mark.of, MARK_COVERED) &&
                   memcmp(mark.of, records[slot].digest, HASH) == 0;
    return is_mark ? mark.state : 0;
}

static int set_mark(int slot, enum mark_state state) {
    memset(&mark, 0, sizeof mark);
    memcpy(mark.magic, "EKM1", 4);
    memcpy(mark.of, records[slot].digest, HASH);
    mark.state = state;
    if (!digest_of(mark.of, MARK_COVERED, mark.digest)) {
        return EK_ENOMEM;
    }
    return ek_role_storage.ops->write(ek_role_storage.dev, (uint64_t)slot * SLOT_BYTES + MARK_AT,
                                      (const uint8_t *)&mark, sizeof mark);
}

static uint32_t sequence_of(int slot) { return slot == NONE ? 0 : records[slot].sequence; }

static void use(int slot) {
    changed = changed || used != slot;
    used = slot;
}

// Of identities that are not used any more nothing stays but in storage.
static void forget_others(void) {
    for (int slot = 0; slot < SLOTS; slot++) {
        if (slot != current && slot != trial) {
            mbedtls_platform_zeroize(&records[slot], sizeof records[slot]);
        }
    }
}

// What is in storage: the newest that has connected, and perhaps a newer one that is on trial.
static void load(void) {
    uint64_t size = 0;
    uint32_t unit = 0;
    loaded = true;
    storage_status = ek_role_storage.ops->init(ek_role_storage.dev, &size, &unit);
    if (storage_status == EK_OK && (size < SLOTS * SLOT_BYTES || unit > MARK_AT)) {
        storage_status = EK_ENOMEM;
    }
    if (storage_status != EK_OK) {
        ek_log("identity: no storage: %s", ek_status_name(storage_status));
        return;
    }
    int found[SLOTS];
    for (int slot = 0; slot < SLOTS; slot++) {
        int status = ek_role_storage.ops->read(ek_role_storage.dev, (uint64_t)slot * SLOT_BYTES,
                                               (uint8_t *)&records[slot], RECORD_BYTES);
        if (status != EK_OK) { // the newest may be there: no new one is put beside it
            storage_status = status;
            ek_log("identity: storage: %s", ek_status_name(status));
        }
        bool whole = status == EK_OK && is_record(&records[slot]);
        found[slot] = whole ? (int)mark_of(slot) : NONE;
        if (found[slot] == MARK_GOOD && records[slot].sequence > sequence_of(current)) {
            current = slot;
        }
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        if (found[slot] == 0 && records[slot].sequence > sequence_of(current)) {
            trial = trial == NONE || records[slot].sequence > sequence_of(trial) ? slot : trial;
        }
    }
    use(trial != NONE ? trial : current);
    forget_others();
    if (used != NONE) {
        ek_log("identity: %u of the storage%s", (unsigned)records[used].sequence,
               used == trial ? ", on trial" : "");
    }
}

const uint8_t *tls_rotation_data(const char *key, size_t *len) {
    if (!loaded) {
        load();
    }
    if (used == NONE) {
        return ek_device_config_data(key, len);
    }
    const struct record *record = &records[used];
    bool is_key = strcmp(key, "tls.key") == 0;
    *len = is_key ? record->key_len : record->cert_len;
    return is_key ? record->data : record->data + record->key_len;
}

bool tls_rotation_changed(void) {
    bool was = changed;
    changed = false;
    return was;
}

static bool make_key(psa_key_id_t *key) {
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, 256);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_SIGN_HASH | PSA_KEY_USAGE_EXPORT);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
    return psa_crypto_init() == PSA_SUCCESS && psa_generate_key(&attributes, key) == PSA_SUCCESS;
}

// What both keys sign.
static bool digest_of_request(const char *name, uint8_t digest[HASH]) {
    static const uint8_t lead[] = "edgeuk identity request 2"; // with its NUL
    psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
    size_t len = 0;
    bool done = psa_hash_setup(&hash, PSA_ALG_SHA_256) == PSA_SUCCESS &&
                psa_hash_update(&hash, lead, sizeof lead) == PSA_SUCCESS &&
                psa_hash_update(&hash, (const uint8_t *)name, strlen(name) + 1) == PSA_SUCCESS &&
                psa_hash_update(&hash, pending_public, sizeof pending_public) == PSA_SUCCESS &&
                psa_hash_finish(&hash, digest, HASH, &len) == PSA_SUCCESS;
    (void)psa_hash_abort(&hash);
    return done;
}

int tls_rotation_request(const char *name, uint8_t request[TLS_REQUEST_MAX], size_t *len) {
    psa_key_id_t key;
    uint8_t digest[HASH], *proof = request + TLS_PUBLIC_BYTES;
    size_t size = 0;
    if (!loaded) {
        load();
    }
    if (storage_status != EK_OK) {
        return EK_ENOENT;
    }
    is_pending = false;
    if (!make_key(&key)) {
        return EK_ENOMEM;
    }
    is_pending =
        psa_export_key(key, pending, sizeof pending, &size) == PSA_SUCCESS &&
        psa_export_public_key(key, pending_public, sizeof pending_public, &size) == PSA_SUCCESS &&
        digest_of_request(name, digest) &&
        psa_sign_hash(key, PSA_ALG_ECDSA(PSA_ALG_SHA_256), digest, sizeof digest, proof,
                      TLS_PROOF_BYTES, &size) == PSA_SUCCESS;
    (void)psa_destroy_key(key);
    int status = is_pending ? EK_OK : EK_ENOMEM;
    if (is_pending && !tls_identity_sign(digest, proof + TLS_PROOF_BYTES, &size)) {
        is_pending = false;
        status = EK_EREFUSED;
    }
    if (!is_pending) {
        mbedtls_platform_zeroize(pending, sizeof pending);
    }
    memcpy(request, pending_public, sizeof pending_public);
    *len = TLS_PUBLIC_BYTES + TLS_PROOF_BYTES + size;
    return status;
}

// RFC 5915: version, private key, curve P-256, public key.
static void key_der(uint8_t out[KEY_DER]) {
    static const uint8_t head[] = {0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20};
    static const uint8_t curve[] = {0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                    0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00};
    memcpy(out, head, sizeof head);
    memcpy(out + 7, pending, 32);
    memcpy(out + 39, curve, sizeof curve);
    memcpy(out + 56, pending_public, TLS_PUBLIC_BYTES);
}

// Whether the project's CA has signed it.
static bool is_signed(const mbedtls_x509_crt *cert) {
    uint8_t info[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                        0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    uint8_t digest[HASH], *at = info;
    mbedtls_pk_context ca;
    memcpy(info + 26, ek_seal_key, sizeof ek_seal_key); // RFC 5480, 2
    mbedtls_pk_init(&ca);
    bool good =
        cert->MBEDTLS_PRIVATE(sig_md) == MBEDTLS_MD_SHA256 &&
        cert->MBEDTLS_PRIVATE(sig_pk) == MBEDTLS_PK_ECDSA &&
        mbedtls_pk_parse_subpubkey(&at, info + sizeof info, &ca) == 0 &&
        digest_of(cert->tbs.p, cert->tbs.len, digest) &&
        mbedtls_pk_verify(&ca, MBEDTLS_MD_SHA256, digest, sizeof digest,
                          cert->MBEDTLS_PRIVATE(sig).p, cert->MBEDTLS_PRIVATE(sig).len) == 0;
    mbedtls_pk_free(&ca);
    return good;
}

// The only common name of the subject is ours.
static bool is_named(const mbedtls_x509_crt *cert, const char *name) {
    bool found = false;
    for (const mbedtls_x509_name *part = &cert->subject; part; part = part->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0) {
            found = part->val.len == strlen(name) && memcmp(part->val.p, name, part->val.len) == 0;
            if (!found) {
                return false;
            }
        }
    }
    return found;
}

static const char *check(const mbedtls_x509_crt *cert, const char *name) {
    if (cert->pk_raw.len < TLS_PUBLIC_BYTES ||
        memcmp(cert->pk_raw.p + cert->pk_raw.len - TLS_PUBLIC_BYTES, pending_public,
               TLS_PUBLIC_BYTES) != 0) {
        return "not for our key";
    }
    return !is_signed(cert)                             ? "not signed by the project's CA"
           : !is_named(cert, name)                      ? "not for our name"
           : mbedtls_x509_time_is_past(&cert->valid_to) ? "expired"
                                                        : NULL;
}

// The trial is over: what is used has connected.
static int conclude(void) {
    bool good = used == trial;
    int status = set_mark(trial, good ? MARK_GOOD : MARK_BAD);
    unmarked = status != EK_OK;
    if (!unmarked) {
        current = good ? trial : current;
        trial = NONE;
        forget_others();
    }
    return status;
}

// Written over is what is not in use, once that is known in storage as well: else the power fails,
// and what has connected last is lost.
static const char *keep(const uint8_t *der, size_t len) {
    static const char fault[] = "the storage does not take it";
    if (unmarked && conclude() != EK_OK) {
        return fault;
    }
    int slot = current == 0 ? 1 : 0;
    struct record *record = &records[slot];
    uint32_t last =
        sequence_of(current) > sequence_of(trial) ? sequence_of(current) : sequence_of(trial);
    if (used == slot) {
        use(current); // the trial before, which is given up
    }
    trial = NONE;
    memset(record, 0, sizeof *record);
    memcpy(record->magic, "EKI1", 4);
    record->sequence = last + 1;
    record->key_len = KEY_DER;
    record->cert_len = (uint16_t)len;
    key_der(record->data);
    memcpy(record->data + KEY_DER, der, len);
    size_t covered = RECORD_FIXED - RECORD_HEAD + KEY_DER + len;
    if (!base_of(record->base) || !digest_of(&record->sequence, covered, record->digest) ||
        ek_role_storage.ops->write(ek_role_storage.dev, (uint64_t)slot * SLOT_BYTES,
                                   (const uint8_t *)record, RECORD_BYTES) != EK_OK) {
        forget_others();
        return fault;
    }
    trial = slot;
    failures = 0;
    use(trial);
    changed = true;
    return NULL;
}

const char *tls_rotation_set(const char *name, const uint8_t *der, size_t len) {
    mbedtls_x509_crt cert;
    if (!is_pending) {
        return "not asked for";
    }
    if (len > sizeof records[0].data - KEY_DER) {
        return "too large";
    }
    mbedtls_x509_crt_init(&cert);
    const char *fault = "no certificate";
    if (mbedtls_x509_crt_parse_der_nocopy(&cert, der, len) == 0 && cert.raw.len == len) {
        fault = check(&cert, name);
    }
    mbedtls_x509_crt_free(&cert);
    fault = fault ? fault : keep(der, len);
    if (!fault) {
        is_pending = false;
        mbedtls_platform_zeroize(pending, sizeof pending);
    }
    return fault;
}

// The new one has connected: the old one is not needed any more. The old one has, where the new one
// has not several times: that is how it stays. Otherwise nobody may be there: both in turn.
const char *tls_rotation_result(bool connected) {
    if (trial == NONE) {
        return "";
    }
    if (!connected) {
        if (++failures % TRIES == 0) {
            use(used == trial ? current : trial);
            ek_log("identity: the %s one is tried", used == trial ? "new" : "old");
        }
        return "";
    }
    bool good = used == trial;
    int status = conclude();
    if (status != EK_OK) { // stays on trial, and each connection tries to end that
        ek_log("identity: storage: %s", ek_status_name(status));
        return good ? "new, but the storage does not keep that"
                    : "old: the new one does not connect; the storage does not keep that";
    }
    return good ? "new" : "old: the new one does not connect";
}
