/*
 * key.h - a verification key, and what it may be used for.
 *
 * A key binds algorithms, never the other way round: its type, its curve, its size and what its
 * issuer wrote beside it decide which of them may be verified with it. A secret can only be made
 * from text that was given as a secret, so that no public key ever ends up in an HMAC.
 *
 * Threads: read-only once made.
 */
#ifndef JWT_AUTH_KEY_H
#define JWT_AUTH_KEY_H

#include "alg.h"

#include <jansson.h>

#define KEY_RSA_BITS_MIN  2048
#define KEY_RSA_BITS_MAX  8192 /* a verification then takes 0.3 ms, four times that with 16384 */
#define KEY_SIGNATURE_MAX (KEY_RSA_BITS_MAX / 8)
#define KEY_KID_MAX       256

struct key;

enum key_fault {
    KEY_OK = 0,
    KEY_FOREIGN,   /* a type or curve that is not known: to be passed over, RFC 7517 5 */
    KEY_NOT_OURS,  /* meant for encryption, or not for verification */
    KEY_MALFORMED, /* a member is missing or wrong, or is no point of the curve */
    KEY_WEAK,      /* too short to be believed */
    KEY_PRIVATE,   /* whoever reads this can sign: it should not be here */
    KEY_ALG,       /* "alg" is unknown, or does not go with the type */
    KEY_SYMMETRIC  /* a secret where secrets are not allowed */
};

/* What is wrong, in a few words that may be shown. */
const char *key_fault_text(enum key_fault fault);

/* From a JWK (RFC 7517). With secrets an "oct" key is accepted. *key is owned by the caller. */
enum key_fault key_from_jwk(const json_t *jwk, bool secrets, struct key **key);

/* From a public key or a certificate in PEM. kid may be empty; algs: a set, 0: what fits. */
enum key_fault key_from_pem(struct sluice_span pem, struct sluice_span kid, uint32_t algs,
                            struct key **key);

/* For HMAC, from its very bytes. */
enum key_fault key_from_secret(struct sluice_span secret, struct sluice_span kid, uint32_t algs,
                               struct key **key);

/* Wipes secrets. */
void key_free(struct key **key);

/* The algorithms that may be verified with it, as a set. */
uint32_t key_algs(const struct key *key);

/* Its name; empty: it has none. */
struct sluice_span key_kid(const struct key *key);

/* Is signature what alg makes of text with this key? False too when alg is not the key's. */
bool key_verify(const struct key *key, enum alg alg, struct sluice_span text,
                struct sluice_span signature);

#endif /* JWT_AUTH_KEY_H */
