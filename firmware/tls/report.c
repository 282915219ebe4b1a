// report.c: mbedTLS's reasons in words.
#include "internal.h"
#include "mbedtls/x509.h"

// The first that holds, the gravest first.
const char *tls_verify_name(uint32_t flags) {
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "is for another name"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "is not signed by our CA"},
        {MBEDTLS_X509_BADCERT_EXPIRED, "has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "is not yet valid"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE, "is not for signing"},
        {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "is not for servers"},
        {MBEDTLS_X509_BADCERT_BAD_MD, "is signed with a weak hash"},
        {MBEDTLS_X509_BADCERT_BAD_PK, "is signed with an unknown algorithm"},
        {MBEDTLS_X509_BADCERT_BAD_KEY, "has a weak key"},
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (flags & names[i].flag) {
            return names[i].name;
        }
    }
    return "cannot be verified";
}
