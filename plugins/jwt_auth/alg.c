/*
 * alg.c - one row an algorithm.
 */
#include "alg.h"

#include "kit/span.h"

static const struct alg_rule rules[ALG_COUNT] = {
    [ALG_HS256] = {"HS256", ALG_HMAC, "SHA256", 32, NULL, NULL, 0},
    [ALG_HS384] = {"HS384", ALG_HMAC, "SHA384", 48, NULL, NULL, 0},
    [ALG_HS512] = {"HS512", ALG_HMAC, "SHA512", 64, NULL, NULL, 0},
    [ALG_RS256] = {"RS256", ALG_RSA, "SHA256", 32, NULL, NULL, 0},
    [ALG_RS384] = {"RS384", ALG_RSA, "SHA384", 48, NULL, NULL, 0},
    [ALG_RS512] = {"RS512", ALG_RSA, "SHA512", 64, NULL, NULL, 0},
    [ALG_PS256] = {"PS256", ALG_RSA_PSS, "SHA256", 32, NULL, NULL, 0},
    [ALG_PS384] = {"PS384", ALG_RSA_PSS, "SHA384", 48, NULL, NULL, 0},
    [ALG_PS512] = {"PS512", ALG_RSA_PSS, "SHA512", 64, NULL, NULL, 0},
    [ALG_ES256] = {"ES256", ALG_ECDSA, "SHA256", 32, "P-256", "prime256v1", 32},
    [ALG_ES384] = {"ES384", ALG_ECDSA, "SHA384", 48, "P-384", "secp384r1", 48},
    [ALG_ES512] = {"ES512", ALG_ECDSA, "SHA512", 64, "P-521", "secp521r1", 66},
    [ALG_EDDSA] = {"EdDSA", ALG_EDWARDS, NULL, 0, NULL, NULL, 0},
};

const struct alg_rule *alg_rule(enum alg alg)
{
    return &rules[alg];
}

bool alg_find(struct sluice_span name, enum alg *alg)
{
    for (size_t i = 0; i < ALG_COUNT; i++) {
        if (span_is(name, span_of(rules[i].name))) {
            *alg = (enum alg)i;
            return true;
        }
    }
    return false;
}
