// report.c: mbedTLS's reasons in words and numbers.
#include <string.h>
#include "ek/log.h"
#include "internal.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/ssl.h"
#include "mbedtls/x509.h"

struct tls_stats tls_stats;

static enum tls_reason last = TLS_REASONS;

void tls_count(enum tls_reason reason) {
    tls_stats.refusals[reason]++;
    last = reason;
}

void tls_count_nothing(void) { last = TLS_REASONS; }

const char *tls_why(void) { return tls_reason_name(last); }

const char *tls_reason_name(enum tls_reason reason) {
    const char *name = "ca\0name\0expired\0early\0usage\0weak\0pin\0alert\0protocol\0record\0"
                       "stall\0memory\0identity\0entropy\0";
    for (; reason > 0; reason--) {
        name += strlen(name) + 1;
    }
    return name;
}

// The first that holds, the gravest first.
const char *tls_verify_name(uint32_t flags, enum tls_reason *reason) {
    static const struct {
        uint32_t flag;
        enum tls_reason reason;
        const char *name;
    } names[] = {
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, TLS_NAME, "is for another name"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, TLS_CA, "is not signed by our CA"},
        {MBEDTLS_X509_BADCERT_OTHER, TLS_PIN, "has none of the pinned keys (pin)"},
        {MBEDTLS_X509_BADCERT_EXPIRED, TLS_EXPIRED, "has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, TLS_EARLY, "is not yet valid"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE, TLS_USAGE, "is not for signing"},
        {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, TLS_USAGE, "is not for servers"},
        {MBEDTLS_X509_BADCERT_BAD_MD, TLS_WEAK, "is signed with a weak hash"},
        {MBEDTLS_X509_BADCERT_BAD_PK, TLS_WEAK, "is signed with an unknown algorithm"},
        {MBEDTLS_X509_BADCERT_BAD_KEY, TLS_WEAK, "has a weak key"},
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (flags & names[i].flag) {
            *reason = names[i].reason;
            return names[i].name;
        }
    }
    *reason = TLS_CA;
    return "cannot be verified";
}

// A certificate that cannot even be read comes as one of X.509's own errors (x509.h), or as one of
// the key's (pk.h).
static bool is_unreadable(int error) {
    return (error <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE &&
            error >= MBEDTLS_ERR_X509_BUFFER_TOO_SMALL) ||
           (error <= MBEDTLS_ERR_PK_SIG_LEN_MISMATCH && error >= MBEDTLS_ERR_PK_ALLOC_FAILED);
}

// A record that does not fit the buffer is bad input to mbedTLS; one that does, but has more in it
// than EK_TLS_RECORD_BYTES, is invalid, as others are: those are no longer than that and 17.
static bool is_too_large(const struct mbedtls_ssl_context *ssl, int error) {
    const unsigned char *head = ssl->MBEDTLS_PRIVATE(in_hdr);
    return error == MBEDTLS_ERR_SSL_BAD_INPUT_DATA ||
           (error == MBEDTLS_ERR_SSL_INVALID_RECORD &&
            (head[3] << 8 | head[4]) > EK_TLS_RECORD_BYTES + 17);
}

int tls_report(const struct mbedtls_ssl_context *ssl, const char *host, int error, bool no_memory) {
    enum tls_reason reason = TLS_PROTOCOL;
    if (no_memory) {
        tls_count(TLS_MEMORY);
        ek_log("tls: out of memory: no %u bytes, %u of %u in use", (unsigned)tls_heap.failed_bytes,
               (unsigned)tls_heap.live, (unsigned)tls_heap.size);
        return EK_ENOMEM;
    }
    switch (error) {
    case 0:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return EK_ECLOSED;
    case MBEDTLS_ERR_NET_CONN_RESET:
        return EK_EIO;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE: {
        const char *fault = tls_verify_name(mbedtls_ssl_get_verify_result(ssl), &reason);
        ek_log("tls: %s refused: its certificate %s", host, fault);
        break;
    }
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        tls_count(TLS_ALERT);
        ek_log("tls: %s refuses us: alert %u", host, ssl->MBEDTLS_PRIVATE(in_msg)[1]);
        return EK_EREFUSED;
    default:
        if (is_too_large(ssl, error)) {
            tls_count(TLS_RECORD);
            ek_log("tls: %s sent a record larger than %u bytes", host,
                   (unsigned)EK_TLS_RECORD_BYTES);
            return EK_ERANGE;
        }
        if (is_unreadable(error)) {
            reason = TLS_WEAK;
            ek_log("tls: %s refused: its certificate cannot be read here (-0x%x)", host,
                   (unsigned)-error);
        } else {
            ek_log("tls: %s: error -0x%x", host, (unsigned)-error);
        }
    }
    tls_count(reason);
    return EK_EPROTO;
}
