/*
 * token.h - a JWS in compact form (RFC 7515, RFC 7519), read and verified.
 *
 * Nothing of the payload is looked at before the signature is right, and nothing of the header is
 * followed: jku, x5u, jwk and x5c are ignored, kid is only compared.
 */
#ifndef JWT_AUTH_TOKEN_H
#define JWT_AUTH_TOKEN_H

#include "alg.h"
#include "keyset.h"
#include "refusal.h"

#include <jansson.h>

#define TOKEN_BYTES_MAX ((size_t)32 << 10) /* no configuration allows more */
#define TOKEN_TRIES     8 /* keys tried for one token: more only fit when nothing has a kid */

struct token {
    /* of the text that was read: borrowed */
    struct sluice_span signed_part; /* header.payload */
    struct sluice_span payload;     /* in base64url */
    /* owned, until token_fini() */
    json_t *header;
    json_t *claims; /* NULL before token_claims() */
    unsigned char signature[KEY_SIGNATURE_MAX];
    size_t signature_len;
    enum alg alg;
    struct sluice_span kid; /* of header; empty: none */
};

/*
 * Take apart text and look at its header: algs is the set of algorithms that are allowed.
 * Call token_fini() whatever the answer.
 */
enum refusal token_read(struct token *token, struct sluice_span text, uint32_t algs);
void token_fini(struct token *token);

/*
 * Does a key of the sets make this signature? REFUSAL_KEY: none of the keys fits.
 */
enum refusal token_verify(const struct token *token, const struct keyset *const sets[], size_t n);

/* Read the claims. Only after token_verify(). */
enum refusal token_claims(struct token *token);

/* Is the header's typ one of these, as RFC 7515 4.1.9 compares: "application/" may be left out. */
bool token_is_type(const struct token *token, const struct sluice_span *types, size_t n);

#endif /* JWT_AUTH_TOKEN_H */
