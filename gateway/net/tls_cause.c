/*
 * tls_cause.c - what OpenSSL says of a handshake that failed, in the few words that metrics have.
 */
#include "net/tls_state.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

const char *tls_cause_name(enum tls_cause cause)
{
#define CAUSE_NAME(symbol, name) [TLS_CAUSE_##symbol] = (name),
    static const char *const names[] = {TLS_CAUSES(CAUSE_NAME)};
#undef CAUSE_NAME

    return names[cause];
}

static enum tls_cause cause_of_reason(int reason)
{
    switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return TLS_CAUSE_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return TLS_CAUSE_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_CAUSE_PROTOCOL;
    case SSL_R_CALLBACK_FAILED: /* the only one of ours that refuses: strict_sni */
        return TLS_CAUSE_NAME;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return TLS_CAUSE_NO_CERTIFICATE;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return TLS_CAUSE_BAD_CERTIFICATE;
    default:
        return reason >= SSL_AD_REASON_OFFSET ? TLS_CAUSE_ALERT : TLS_CAUSE_OTHER;
    }
}

enum tls_cause tls_cause_of(unsigned long error)
{
    if (error == 0)
        return TLS_CAUSE_CLOSED;
    return ERR_GET_LIB(error) == ERR_LIB_SSL ? cause_of_reason(ERR_GET_REASON(error))
                                             : TLS_CAUSE_OTHER;
}
