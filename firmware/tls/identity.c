// identity.c: whom we trust and who we are, from the device configuration (tls.h). Our certificate
// and key stay where they lie; a CA is parsed when the server's chain asks for it, so that a bundle
// costs no memory.
#include <string.h>
#include "config.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "internal.h"
#include "mbedtls/oid.h"
#include "mbedtls/psa_util.h"
#include "mbedtls/ssl.h"
#include "psa/crypto.h"
#ifdef EK_ROTATE // config.h: what is in storage may replace certificate and key
#include "rotation.h"
#define OWN(key, len) tls_rotation_data(key, len)
#else
#define OWN(key, len) ek_device_config_data(key, len)
#endif

_Static_assert(EK_TLS_VERIFY || EK_DEVELOPMENT, "a production image always verifies");

enum { PIN_BYTES = 32 };

static mbedtls_x509_crt certificate;
static mbedtls_pk_context key;
static bool pin_seen;
static uint32_t address[4]; // of the server, where it has no name; else its length is 0
static size_t address_len;
// Of the chain that was verified last: whether the time was known then, and until when it is valid.
static bool verifies, was_dated;
static int64_t valid_until;

// Seconds since 1970, for the lower bound; days as in RFC 5280 are no matter here.
static int64_t seconds_of(const mbedtls_x509_time *time) {
    int64_t year = time->year - (time->mon <= 2), of_year = (time->mon + 9) % 12;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * of_year + 2) / 5 +
                   time->day - 1 - 719468;
    return ((days * 24 + time->hour) * 60 + time->min) * 60 + time->sec;
}

// All CAs of the bundle that bear the name of who signed `child`; with NULL, whether all can be
// read. mbedTLS frees what it gets.
static int find_ca(void *arg, const mbedtls_x509_crt *child, mbedtls_x509_crt **found) {
    (void)arg;
    size_t len;
    const uint8_t *data = ek_device_config_data("tls.ca", &len);
    for (*found = NULL; data && len > 0;) {
        mbedtls_x509_crt *ca = tls_calloc(1, sizeof *ca);
        if (!ca) {
            return MBEDTLS_ERR_X509_ALLOC_FAILED;
        }
        mbedtls_x509_crt_init(ca);
        int result = mbedtls_x509_crt_parse_der_nocopy(ca, data, len);
        if (result == 0) {
            data += ca->raw.len;
            len -= ca->raw.len;
            tls_clock_floor(seconds_of(&ca->valid_from));
        }
        if (result == 0 && child && ca->subject_raw.len == child->issuer_raw.len &&
            memcmp(ca->subject_raw.p, child->issuer_raw.p, ca->subject_raw.len) == 0) {
            ca->next = *found;
            *found = ca;
            continue;
        }
        mbedtls_x509_crt_free(ca);
        tls_free(ca);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

// Whether the key of a certificate is one of the pinned.
static bool is_pinned(const mbedtls_x509_crt *of, const uint8_t *pins, size_t len) {
    uint8_t digest[PIN_BYTES];
    size_t size;
    if (psa_hash_compute(PSA_ALG_SHA_256, of->pk_raw.p, of->pk_raw.len, digest, sizeof digest,
                         &size) != PSA_SUCCESS) {
        return false;
    }
    for (; len >= PIN_BYTES; pins += PIN_BYTES, len -= PIN_BYTES) {
        if (memcmp(pins, digest, PIN_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

// Whether a certificate is for `address`.
static bool is_for_address(const mbedtls_x509_crt *of) {
    for (const mbedtls_x509_sequence *name = &of->subject_alt_names; name; name = name->next) {
        if ((name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
            name->buf.len == address_len && memcmp(name->buf.p, address, address_len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_own_issuer(const mbedtls_x509_crt *of) {
    return of->issuer_raw.len > 0 && of->issuer_raw.len == of->subject_raw.len &&
           memcmp(of->issuer_raw.p, of->subject_raw.p, of->issuer_raw.len) == 0;
}

// For each certificate of the chain, the server's last. A lower bound of the time says that one has
// expired, never that it is not yet valid.
static int on_verified(void *arg, mbedtls_x509_crt *of, int depth, uint32_t *flags) {
    (void)arg;
    int64_t until = seconds_of(&of->valid_to);
    valid_until = verifies && valid_until < until ? valid_until : until;
    verifies = true;
    was_dated = tls_clock_known();
    if (!was_dated) {
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_FUTURE;
    }
    if (depth == 0 && (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) && is_own_issuer(of)) {
        *flags |= TLS_BADCERT_SELF;
    }
    // mbedTLS would take the common name instead, which RFC 9525, 6.3 forbids.
    if (depth == 0 && (!mbedtls_x509_crt_has_ext_type(of, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) ||
                       (address_len > 0 && !is_for_address(of)))) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    size_t len;
    const uint8_t *pins = ek_device_config_data("tls.pins", &len);
    if (pins) {
        pin_seen = pin_seen || is_pinned(of, pins, len);
        if (depth == 0 && !pin_seen) {
            *flags |= MBEDTLS_X509_BADCERT_OTHER;
        }
    }
    if (EK_TLS_COMPATIBLE && depth == 0 && !of->raw.p) { // passed over when it was parsed, in 1.2
        *flags = MBEDTLS_X509_BADCERT_BAD_PK;
    }
    return 0;
}

static int unusable(const char *what, int status) {
    ek_log("tls: %s of the device configuration %s", what,
           status == EK_ENOENT ? "is missing" : "cannot be used");
    return status;
}

// Certificate and key, if there are any: some servers ask for none.
static int load_own(mbedtls_ssl_config *conf) {
    size_t len;
    const uint8_t *data = OWN("tls.cert", &len);
    if (!data) {
        return EK_OK;
    }
    for (const uint8_t *end = data + len; data < end;) {
        if (mbedtls_x509_crt_parse_der_nocopy(&certificate, data, (size_t)(end - data)) != 0) {
            return unusable("tls.cert", EK_EINVAL);
        }
        mbedtls_x509_crt *last = &certificate;
        while (last->next) {
            last = last->next;
        }
        data += last->raw.len;
    }
    tls_clock_floor(seconds_of(&certificate.valid_from));
    data = OWN("tls.key", &len);
    if (!data || mbedtls_pk_parse_key(&key, data, len, NULL, 0, mbedtls_psa_get_random,
                                      MBEDTLS_PSA_RANDOM_STATE) != 0) {
        return unusable("tls.key", data ? EK_EINVAL : EK_ENOENT);
    }
    return mbedtls_ssl_conf_own_cert(conf, &certificate, &key) == 0 ? EK_OK : EK_ENOMEM;
}

// For mbedTLS: IPv4 alone, as in net/; no leading zeros, which might be meant as octal.
int tls_inet_pton(int family, const char *text, void *out) {
    (void)family; // it asks for IPv6 where there is a colon
    uint8_t *byte = out;
    for (unsigned left = 4; left-- > 0;) {
        unsigned value = 0, digits = 0;
        for (; *text >= '0' && *text <= '9' && (value > 0 || digits == 0); digits++) {
            value = value * 10 + (unsigned)(*text++ - '0');
        }
        if (digits == 0 || digits > 3 || value > 255 || *text++ != (left > 0 ? '.' : 0)) {
            return 0;
        }
        *byte++ = (uint8_t)value;
    }
    return 1;
}

bool tls_identity_expect(const char *host) {
    address_len = mbedtls_x509_crt_parse_cn_inet_pton(host, address);
    return address_len > 0;
}

int tls_identity_load(mbedtls_ssl_config *conf) {
    mbedtls_x509_crt_init(&certificate);
    mbedtls_pk_init(&key);
    pin_seen = verifies = false;
#ifdef EK_ROTATE
    (void)tls_rotation_data("tls.cert", &(size_t){0});
    if (tls_rotation_changed()) {
        tls_ticket_forget(); // it would say who we were
    }
#endif
    size_t len;
    mbedtls_x509_crt *none;
    if (EK_TLS_VERIFY) {
        if (!ek_device_config_data("tls.ca", &len)) {
            return unusable("tls.ca", EK_ENOENT);
        }
        if (find_ca(NULL, NULL, &none) != 0) {
            return unusable("tls.ca", EK_EINVAL);
        }
        if (ek_device_config_data("tls.pins", &len) && (len == 0 || len % PIN_BYTES != 0)) {
            return unusable("tls.pins", EK_EINVAL);
        }
    }
    mbedtls_ssl_conf_ca_cb(conf, find_ca, NULL);
    mbedtls_ssl_conf_verify(conf, on_verified, NULL);
    // Optional: goes on, but knows what was wrong.
    mbedtls_ssl_conf_authmode(conf, EK_TLS_VERIFY ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                  : MBEDTLS_SSL_VERIFY_OPTIONAL);
    return load_own(conf);
}

bool tls_identity_verifies_still(void) {
    return tls_clock_known() == was_dated && tls_time(NULL) <= valid_until;
}

#ifdef EK_ROTATE
bool tls_identity_sign(const uint8_t digest[32], uint8_t out[TLS_SIGNATURE_MAX], size_t *len) {
    return mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, digest, 32, out, TLS_SIGNATURE_MAX, len,
                           mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) == 0;
}
#endif

void tls_identity_used(void) {
#ifndef EK_ROTATE
    mbedtls_pk_free(&key);
#endif
}

void tls_identity_free(void) {
    mbedtls_x509_crt_free(&certificate);
    mbedtls_pk_free(&key);
}
