/*
 * refusal.h - every reason to refuse a request: one closed list.
 *
 * A refusal has a word for the access log and the metric, and what RFC 6750 section 3 wants said:
 * a status, an error, a description. The descriptions are constant: nothing of a token is told.
 */
#ifndef JWT_AUTH_REFUSAL_H
#define JWT_AUTH_REFUSAL_H

#include "sluice_plugin.h"

/* name, word, status, error, description */
#define REFUSAL_LIST(X)                                                                            \
    X(MISSING, "jwt_missing", 401, "", "")                                                         \
    X(SEVERAL, "jwt_several", 400, "invalid_request", "more than one token was sent")              \
    X(TOO_LONG, "jwt_too_long", 401, "invalid_token", "the token is too long")                     \
    X(MALFORMED, "jwt_malformed", 401, "invalid_token", "the token is malformed")                  \
    X(ENCRYPTED, "jwt_encrypted", 401, "invalid_token", "encrypted tokens are not accepted")       \
    X(NESTED, "jwt_nested", 401, "invalid_token", "nested tokens are not accepted")                \
    X(ALG, "jwt_alg", 401, "invalid_token", "the signature algorithm is not accepted")             \
    X(CRITICAL, "jwt_critical", 401, "invalid_token", "the token asks for an unknown extension")   \
    X(TYPE, "jwt_type", 401, "invalid_token", "the token is of another type")                      \
    X(KEY, "jwt_key", 401, "invalid_token", "the signing key is not known")                        \
    X(SIGNATURE, "jwt_signature", 401, "invalid_token", "the signature is not valid")              \
    X(CLAIMS, "jwt_claims", 401, "invalid_token", "the claims are malformed")                      \
    X(EXPIRED, "jwt_expired", 401, "invalid_token", "the token has expired")                       \
    X(EARLY, "jwt_early", 401, "invalid_token", "the token is not valid yet")                      \
    X(AGE, "jwt_age", 401, "invalid_token", "the token is too old")                                \
    X(ISSUER, "jwt_issuer", 401, "invalid_token", "the issuer is not accepted")                    \
    X(AUDIENCE, "jwt_audience", 401, "invalid_token", "the token is for another audience")         \
    X(CLAIM, "jwt_claim", 403, "insufficient_scope", "a required claim is missing")                \
    X(SCOPE, "jwt_scope", 403, "insufficient_scope", "a required scope is missing")

enum refusal {
    REFUSAL_NONE = 0,
#define REFUSAL_ENUM(name, ...) REFUSAL_##name,
    REFUSAL_LIST(REFUSAL_ENUM)
#undef REFUSAL_ENUM
        REFUSAL_COUNT
};

struct refusal_rule {
    struct sluice_span word;
    uint32_t status;
    struct sluice_span error, description; /* empty: RFC 6750 wants none, no token was sent */
};

/* Not of REFUSAL_NONE. */
const struct refusal_rule *refusal_rule(enum refusal refusal);

#endif /* JWT_AUTH_REFUSAL_H */
