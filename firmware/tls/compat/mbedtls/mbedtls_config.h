// mbedtls/mbedtls_config.h: found before mbedTLS's own. A client of TLS 1.3 with P-256 (p256-m),
// AES-128-GCM and SHA-256, and nothing else; in the compatible profile also of TLS 1.2, with RSA
// certificates of servers, X25519 and ChaCha20-Poly1305, which is several times as fast without
// instructions for AES, but RFC 8446, 9.1 asks for AES. All cryptography by way of PSA.
#ifndef MBEDTLS_CONFIG_H
#define MBEDTLS_CONFIG_H
#include <stddef.h>
#include <stdint.h>
#include "tls_options.h" // generated: what gateway file and board say

// What we give it: memory, time and random numbers (heap.c, clock.c, session.c).
void *tls_calloc(size_t count, size_t size);
void tls_free(void *memory);
int64_t tls_time(int64_t *seconds);
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO tls_calloc // both, or others may put in an allocator
#define MBEDTLS_PLATFORM_FREE_MACRO tls_free
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
int ek_format(char *out, size_t size, const char *format, ...);
int tls_no_printf(const char *format, ...); // never defined: nothing calls it
void tls_no_exit(int status);
#define MBEDTLS_PLATFORM_SNPRINTF_MACRO ek_format
#define MBEDTLS_PLATFORM_PRINTF_MACRO tls_no_printf
#define MBEDTLS_PLATFORM_EXIT_MACRO tls_no_exit
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE // without it no validity period is looked at
#define MBEDTLS_PLATFORM_TIME_TYPE_MACRO int64_t
#define MBEDTLS_PLATFORM_TIME_MACRO tls_time
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MBEDTLS_PLATFORM_GMTIME_R_ALT
#define MBEDTLS_NO_UDBL_DIVISION

// Cryptography.
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_CONFIG
#define MBEDTLS_PSA_CRYPTO_CONFIG_FILE "tls_psa_config.h"
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#define MBEDTLS_PSA_ASSUME_EXCLUSIVE_BUFFERS // one thread, no enclave: no copies of arguments
#define MBEDTLS_PSA_KEY_SLOT_COUNT 8
#define MBEDTLS_USE_PSA_CRYPTO
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT
#define MBEDTLS_GCM_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA256_SMALLER
#if EK_TLS_COMPATIBLE
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_CHACHAPOLY_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C // p256-m has no X25519, and mbedTLS 3.6 no TLS 1.2 with it
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_DP_CURVE25519_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM
#define MBEDTLS_ECP_WINDOW_SIZE 2
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_RSA_C
#define MBEDTLS_RSA_NO_CRT
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT // the only RSA signatures of TLS 1.3
#define MBEDTLS_MPI_MAX_SIZE 512        // RSA of 4096 bits
#define MBEDTLS_MPI_WINDOW_SIZE 1
#else
#define MBEDTLS_PSA_P256M_DRIVER_ENABLED
#endif

// Keys and certificates: DER only.
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO
#define MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK
#define MBEDTLS_X509_MAX_INTERMEDIATE_CA 3
// Its own also knows IPv6, which is some hundred bytes and of no use without that in net/.
#define inet_pton tls_inet_pton // identity.c
int tls_inet_pton(int family, const char *text, void *out);
#if !__has_include(<sys/socket.h>)
#define AF_INET 2
#define AF_INET6 10
#endif

// TLS.
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE
#define MBEDTLS_SSL_IN_CONTENT_LEN EK_TLS_RECORD_BYTES
#define MBEDTLS_SSL_OUT_CONTENT_LEN EK_TLS_SEND_BYTES
#if EK_TLS_RECORD_BYTES < 16384
#define MBEDTLS_SSL_RECORD_SIZE_LIMIT // for the servers that keep to it
// For those that know RFC 6066, 4 alone. It binds both sides.
#if EK_TLS_RECORD_BYTES >= 4096 && EK_TLS_SEND_BYTES <= 4096
#define TLS_FRAGMENT_CODE MBEDTLS_SSL_MAX_FRAG_LEN_4096
#elif EK_TLS_RECORD_BYTES >= 2048 && EK_TLS_SEND_BYTES <= 2048
#define TLS_FRAGMENT_CODE MBEDTLS_SSL_MAX_FRAG_LEN_2048
#elif EK_TLS_SEND_BYTES <= 1024
#define TLS_FRAGMENT_CODE MBEDTLS_SSL_MAX_FRAG_LEN_1024
#endif
#endif
#if EK_TLS_COMPATIBLE && defined TLS_FRAGMENT_CODE
#define MBEDTLS_SSL_MAX_FRAGMENT_LENGTH // in TLS 1.2; in 1.3: client13.c
#endif
#if EK_TLS_TICKET_BYTES > 0
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#endif
#if !EK_TLS_COMPATIBLE
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS1_3_AES_128_GCM_SHA256
#else
#define MBEDTLS_SSL_CIPHERSUITES                                                                   \
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,                                                       \
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,                                     \
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_128_GCM_SHA256,    \
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,                                           \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#endif
#endif
