// report.c: mbedTLS's reasons in words and numbers.
#include <string.h>
#include "config.h"
#include "ek/log.h"
#include "internal.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/ssl.h"
#include "mbedtls/x509.h"

#if EK_DEVELOPMENT
#define PROFILE "development"
#else
#define PROFILE "production"
#endif
#if EK_TLS_VERIFY
#define VERIFY "on"
#else
#define VERIFY "off"
#endif

struct tls_stats tls_stats;

static enum tls_reason last = TLS_REASONS;

void tls_count(enum tls_reason reason) {
    tls_stats.refusals[reason]++;
    last = reason;
}

void tls_count_nothing(void) { last = TLS_REASONS; }

// In the order of tls.h.
static const char names[] = "ca\0self\0name\0expired\0early\0usage\0signature\0weak\0pin\0alert\0"
                            "version\0protocol\0renegotiate\0record\0cut\0stall\0memory\0"
                            "identity\0entropy\0";

// One of several texts that lie one behind the other.
static const char *text_of(const char *texts, unsigned index) {
    for (; index > 0; index--) {
        texts += strlen(texts) + 1;
    }
    return texts;
}

const char *tls_why(void) { return text_of(names, last); }

size_t tls_tell(char *out, size_t size, const char *entropy) {
    static const char head[] =
        "{\"profile\":\"" PROFILE "\",\"verify\":\"" VERIFY "\",\"entropy\":\"%s\",\"time\":\"%s\","
        "\"handshakes\":%u,\"resumptions\":%u,\"heap_max\":%u,\"heap_size\":%u,"
        "\"heap_failures\":%u,\"refusals\":{";
    int len =
        ek_format(out, size, head, entropy, tls_clock_source(), (unsigned)tls_stats.handshakes,
                  (unsigned)tls_stats.resumptions, (unsigned)tls_heap.peak, (unsigned)tls_heap.size,
                  (unsigned)tls_heap.failures);
    for (unsigned i = 0; i < TLS_REASONS && (size_t)len < size; i++) {
        len += ek_format(out + len, size - (size_t)len, "\"%s\":%u%s", text_of(names, i),
                         (unsigned)tls_stats.refusals[i], i + 1 < TLS_REASONS ? "," : "}}");
    }
    return (size_t)len < size ? (size_t)len : 0;
}

// The first that holds, the gravest first.
const char *tls_verify_name(uint32_t flags, enum tls_reason *reason) {
#define FAULT(flag, reason)                                                                        \
    {                                                                                              \
        __builtin_ctz(flag), reason                                                                \
    }
    static const uint8_t faults[][2] = {
        FAULT(MBEDTLS_X509_BADCERT_CN_MISMATCH, TLS_NAME),
        FAULT(TLS_BADCERT_SELF, TLS_SELF),
        FAULT(MBEDTLS_X509_BADCERT_NOT_TRUSTED, TLS_CA),
        FAULT(MBEDTLS_X509_BADCERT_OTHER, TLS_PIN),
        FAULT(MBEDTLS_X509_BADCERT_EXPIRED, TLS_EXPIRED),
        FAULT(MBEDTLS_X509_BADCERT_FUTURE, TLS_EARLY),
        FAULT(MBEDTLS_X509_BADCERT_KEY_USAGE, TLS_USAGE),
        FAULT(MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, TLS_USAGE),
        FAULT(MBEDTLS_X509_BADCERT_BAD_MD, TLS_SIGNATURE),
        FAULT(MBEDTLS_X509_BADCERT_BAD_PK, TLS_SIGNATURE),
        FAULT(MBEDTLS_X509_BADCERT_BAD_KEY, TLS_WEAK),
        FAULT(TLS_BADCERT_UNREADABLE, TLS_WEAK),
    };
    static const char said[] = "is for another name\0"
                               "is signed by itself\0"
                               "is not signed by our CA\0"
                               "has none of the pinned keys (pin)\0"
                               "has expired\0"
                               "is not yet valid\0"
                               "is not for signing\0"
                               "is not for servers\0"
                               "is signed with a weak hash\0"
                               "is signed with an unknown algorithm\0"
                               "has a weak key\0"
                               "cannot be read here\0"
                               "cannot be verified";
    unsigned i = 0;
    *reason = TLS_CA;
    for (; i < sizeof faults / sizeof faults[0]; i++) {
        if (flags >> faults[i][0] & 1) {
            *reason = faults[i][1];
            break;
        }
    }
    return text_of(said, i);
}

// A certificate that cannot even be read comes as one of X.509's own errors (x509.h), or as one of
// the key's (pk.h).
static bool is_unreadable(int error) {
    return (error <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE &&
            error >= MBEDTLS_ERR_X509_BUFFER_TOO_SMALL) ||
           (error <= MBEDTLS_ERR_PK_SIG_LEN_MISMATCH && error >= MBEDTLS_ERR_PK_ALLOC_FAILED);
}

// A record that does not fit the buffer is bad input to mbedTLS; one that does, but has more in it
// than EK_TLS_RECORD_BYTES, is invalid. Others are so too: those are no longer than that and 17, or
// no records at all (RFC 8446, 5.1).
static bool is_too_large(const struct mbedtls_ssl_context *ssl, int error) {
    const unsigned char *head = ssl->MBEDTLS_PRIVATE(in_hdr);
    return (error == MBEDTLS_ERR_SSL_BAD_INPUT_DATA || error == MBEDTLS_ERR_SSL_INVALID_RECORD) &&
           head[0] >= MBEDTLS_SSL_MSG_CHANGE_CIPHER_SPEC && head[1] == 3 &&
           (head[3] << 8 | head[4]) > EK_TLS_RECORD_BYTES + 17;
}

// Not amid a record: it is read to where the last message was.
bool tls_wants_another(const struct mbedtls_ssl_context *ssl) {
    return mbedtls_ssl_is_handshake_over((struct mbedtls_ssl_context *)ssl) &&
           ssl->MBEDTLS_PRIVATE(in_left) == 0 &&
           ssl->MBEDTLS_PRIVATE(in_msgtype) == MBEDTLS_SSL_MSG_HANDSHAKE &&
           ssl->MBEDTLS_PRIVATE(in_msg)[0] == MBEDTLS_SSL_HS_HELLO_REQUEST;
}

// Between two records it may: not all say farewell.
void tls_report_end(const struct mbedtls_ssl_context *ssl, const char *host) {
    bool stood = mbedtls_ssl_is_handshake_over((struct mbedtls_ssl_context *)ssl);
    if (!stood || ssl->MBEDTLS_PRIVATE(in_left) > 0) {
        tls_count(TLS_CUT);
        ek_log("tls: %s went amid %s", host, stood ? "a record" : "the handshake");
    }
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
        tls_report_end(ssl, host);
        return EK_ECLOSED;
    case MBEDTLS_ERR_NET_CONN_RESET:
        tls_report_end(ssl, host);
        return EK_EIO;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE: {
        const char *fault = tls_verify_name(mbedtls_ssl_get_verify_result(ssl), &reason);
        ek_log("tls: %s refused: its certificate %s", host, fault);
        break;
    }
    default:
        // It is mbedTLS's error too for a server that shows no certificate.
        if (error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE &&
            ssl->MBEDTLS_PRIVATE(in_msgtype) == MBEDTLS_SSL_MSG_ALERT) {
            unsigned alert = ssl->MBEDTLS_PRIVATE(in_msg)[1];
            tls_count(alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION ? TLS_VERSION : TLS_ALERT);
            ek_log("tls: %s refuses us: alert %u", host, alert);
            return EK_EREFUSED;
        }
        if (is_too_large(ssl, error)) {
            tls_count(TLS_RECORD);
            ek_log("tls: %s sent a record larger than %u bytes", host,
                   (unsigned)EK_TLS_RECORD_BYTES);
            return EK_ERANGE;
        }
        // Of a record that was changed on the way nothing but zeros is there.
        if (error == MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE && tls_wants_another(ssl)) {
            reason = TLS_RENEGOTIATE;
            ek_log("tls: %s refused: it wants another handshake", host);
        } else if (is_unreadable(error)) {
            uint32_t flag = (-error & ~0x7f) == -MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG
                                ? MBEDTLS_X509_BADCERT_BAD_PK
                                : TLS_BADCERT_UNREADABLE;
            ek_log("tls: %s refused: its certificate %s (-0x%x)", host,
                   tls_verify_name(flag, &reason), (unsigned)-error);
        } else {
            reason = error == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION ? TLS_VERSION : TLS_PROTOCOL;
            ek_log("tls: %s: error -0x%x", host, (unsigned)-error);
        }
    }
    tls_count(reason);
    return EK_EPROTO;
}
