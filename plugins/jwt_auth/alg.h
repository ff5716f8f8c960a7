/*
 * alg.h - the signature algorithms of RFC 7518 and RFC 8037 that are accepted at all.
 */
#ifndef JWT_AUTH_ALG_H
#define JWT_AUTH_ALG_H

#include "sluice_plugin.h"

/* In sets each is one bit: 1u << alg. */
enum alg {
    ALG_HS256,
    ALG_HS384,
    ALG_HS512,
    ALG_RS256,
    ALG_RS384,
    ALG_RS512,
    ALG_PS256,
    ALG_PS384,
    ALG_PS512,
    ALG_ES256,
    ALG_ES384,
    ALG_ES512,
    ALG_EDDSA,
    ALG_COUNT
};

enum alg_family { ALG_HMAC, ALG_RSA, ALG_RSA_PSS, ALG_ECDSA, ALG_EDWARDS };

struct alg_rule {
    const char *name;
    enum alg_family family;
    const char *digest;      /* as OpenSSL calls it; NULL: part of the algorithm */
    size_t digest_bytes;     /* and the least length of a secret */
    const char *curve;       /* of JWK, NULL: none, or the key's */
    const char *group;       /* the same curve, as OpenSSL calls it */
    size_t coordinate_bytes; /* of a point on the curve, and half a signature */
};

#define ALG_SYMMETRIC (1u << ALG_HS256 | 1u << ALG_HS384 | 1u << ALG_HS512)
#define ALG_RSA_ALL                                                                                \
    (1u << ALG_RS256 | 1u << ALG_RS384 | 1u << ALG_RS512 | 1u << ALG_PS256 | 1u << ALG_PS384 |     \
     1u << ALG_PS512)
#define ALG_EVERY ((1u << ALG_COUNT) - 1)

const struct alg_rule *alg_rule(enum alg alg);

/* By its exact name: case counts. False: unknown, which "none" is too. */
bool alg_find(struct sluice_span name, enum alg *alg);

#endif /* JWT_AUTH_ALG_H */
