// client13.c: mbedTLS's client of TLS 1.3, which with small records asks for small ones in two
// ways: by RFC 8449, as mbedTLS does, and by RFC 6066, 4, which is all that OpenSSL knows. Both in
// one ClientHello are allowed (RFC 8449, 5): who knows the first ignores the second. mbedTLS has
// the second for TLS 1.2 only.
#pragma GCC diagnostic ignored "-Wconversion" // sources of others
#pragma GCC diagnostic ignored "-Wshadow"
#include <stdbool.h>
#include <common.h>
#include <ssl_misc.h>

#ifdef TLS_FRAGMENT_CODE
enum { EXTENSION_HEAD = 4, EXTENSION_BYTES = EXTENSION_HEAD + 1 };

static int write_limits(mbedtls_ssl_context *ssl, unsigned char *out, const unsigned char *end,
                        size_t *len) {
    int result = mbedtls_ssl_tls13_write_record_size_limit_ext(ssl, out, end, len);
    if (result != 0) {
        return result;
    }
    mbedtls_ssl_tls13_set_hs_sent_ext_mask(ssl, MBEDTLS_TLS_EXT_MAX_FRAGMENT_LENGTH);
    if (ssl->handshake->min_tls_version <= MBEDTLS_SSL_VERSION_TLS1_2) {
        return 0; // its part of the ClientHello has it
    }
    out += *len;
    MBEDTLS_SSL_CHK_BUF_PTR(out, end, EXTENSION_BYTES);
    MBEDTLS_PUT_UINT16_BE(MBEDTLS_TLS_EXT_MAX_FRAGMENT_LENGTH, out, 0);
    MBEDTLS_PUT_UINT16_BE(1, out, 2);
    out[EXTENSION_HEAD] = TLS_FRAGMENT_CODE;
    *len += EXTENSION_BYTES;
    return 0;
}

// Whether the answer is what was asked for. mbedTLS has looked at the extensions' lengths.
static bool is_limit_kept(const unsigned char *extensions, const unsigned char *end) {
    while (extensions < end) {
        unsigned kind = MBEDTLS_GET_UINT16_BE(extensions, 0);
        unsigned len = MBEDTLS_GET_UINT16_BE(extensions, 2);
        if (kind == MBEDTLS_TLS_EXT_MAX_FRAGMENT_LENGTH &&
            (len != 1 || extensions[EXTENSION_HEAD] != TLS_FRAGMENT_CODE)) {
            return false;
        }
        extensions += EXTENSION_HEAD + len;
    }
    return true;
}

// Comes after each message that mbedTLS has understood.
static int take_message(mbedtls_ssl_context *ssl, unsigned kind, const unsigned char *message,
                        size_t len) {
    if (kind == MBEDTLS_SSL_HS_ENCRYPTED_EXTENSIONS && !is_limit_kept(message + 2, message + len)) {
        MBEDTLS_SSL_PEND_FATAL_ALERT(MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER,
                                     MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER);
        return MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER;
    }
    return mbedtls_ssl_add_hs_msg_to_checksum(ssl, kind, message, len);
}

#define mbedtls_ssl_tls13_write_record_size_limit_ext write_limits
#define mbedtls_ssl_add_hs_msg_to_checksum take_message
#endif

#include <ssl_tls13_client.c>
