/*
 * token.c - three parts, two dots, no mercy.
 */
#include "token.h"

#include "base64.h"
#include "document.h"
#include "kit/span.h"

#include <stdlib.h>

#define HEADER_BYTES_MAX 2048 /* decoded; a header that carries certificates is 2 KiB and more */

struct parts {
    struct sluice_span header, payload, signature;
};

/* Three parts of base64url. Five are a JWE. */
static enum refusal split(struct sluice_span text, struct parts *parts)
{
    struct sluice_span rest = text, part[5];
    size_t n = 0;

    while (n < 5 && span_cut(&rest, '.', &part[n]))
        n++;
    if (rest.ptr)
        return REFUSAL_MALFORMED;
    if (n == 5)
        return REFUSAL_ENCRYPTED;
    if (n != 3 || part[0].len == 0 || part[1].len == 0)
        return REFUSAL_MALFORMED;
    *parts = (struct parts){part[0], part[1], part[2]};
    return REFUSAL_NONE;
}

static enum refusal read_header(struct token *token, struct sluice_span part)
{
    char bytes[HEADER_BYTES_MAX];
    size_t len;

    if (base64_room(part) > sizeof(bytes))
        return REFUSAL_TOO_LONG;
    if (!base64_decode_url(part, (unsigned char *)bytes, sizeof(bytes), &len))
        return REFUSAL_MALFORMED;
    token->header = document_parse((struct sluice_span){bytes, len});
    return token->header ? REFUSAL_NONE : REFUSAL_MALFORMED;
}

/* Members that change what the rest means. No extension is known, so any "crit" is too much. */
static enum refusal check_meaning(const json_t *header)
{
    const json_t *plain = json_object_get(header, "b64");
    struct sluice_span content = document_text(header, "cty");

    if (json_object_get(header, "crit") || (plain && !json_is_true(plain)))
        return REFUSAL_CRITICAL;
    if (json_object_get(header, "enc"))
        return REFUSAL_ENCRYPTED;
    if (span_is_word(content, SLUICE_SPAN("JWT")) ||
        span_is_word(content, SLUICE_SPAN("application/jwt")))
        return REFUSAL_NESTED;
    return REFUSAL_NONE;
}

static enum refusal check_header(struct token *token, uint32_t algs)
{
    const json_t *kid = json_object_get(token->header, "kid");
    struct sluice_span alg = document_text(token->header, "alg");
    enum refusal refusal = check_meaning(token->header);

    if (refusal != REFUSAL_NONE)
        return refusal;
    if (!alg.ptr)
        return REFUSAL_MALFORMED;
    if (!alg_find(alg, &token->alg) || (algs & 1u << token->alg) == 0)
        return REFUSAL_ALG;
    token->kid = document_span(kid);
    if ((kid && !token->kid.ptr) || token->kid.len > KEY_KID_MAX)
        return REFUSAL_MALFORMED;
    return REFUSAL_NONE;
}

enum refusal token_read(struct token *token, struct sluice_span text, uint32_t algs)
{
    struct parts parts;
    enum refusal refusal;

    token->header = token->claims = NULL;
    token->kid = (struct sluice_span){NULL, 0};
    refusal = split(text, &parts);
    if (refusal == REFUSAL_NONE)
        refusal = read_header(token, parts.header);
    if (refusal == REFUSAL_NONE)
        refusal = check_header(token, algs);
    if (refusal != REFUSAL_NONE)
        return refusal;
    token->payload = parts.payload;
    token->signed_part = (struct sluice_span){text.ptr, parts.header.len + 1 + parts.payload.len};
    if (!base64_decode_url(parts.signature, token->signature, sizeof(token->signature),
                           &token->signature_len) ||
        token->signature_len == 0)
        return REFUSAL_MALFORMED;
    return REFUSAL_NONE;
}

void token_fini(struct token *token)
{
    json_decref(token->header);
    json_decref(token->claims);
    token->header = token->claims = NULL;
}

enum refusal token_verify(const struct token *token, const struct keyset *const sets[], size_t n)
{
    struct sluice_span signature = {(const char *)token->signature, token->signature_len};
    size_t tries = 0;

    for (size_t i = 0; i < n; i++) {
        const struct key *key;

        for (size_t at = 0; (key = keyset_next(sets[i], token->alg, token->kid, &at));) {
            if (tries++ == TOKEN_TRIES)
                return REFUSAL_SIGNATURE;
            if (key_verify(key, token->alg, token->signed_part, signature))
                return REFUSAL_NONE;
        }
    }
    return tries > 0 ? REFUSAL_SIGNATURE : REFUSAL_KEY;
}

enum refusal token_claims(struct token *token)
{
    size_t room = base64_room(token->payload), len;
    char *bytes = malloc(room + 1);

    if (bytes && base64_decode_url(token->payload, (unsigned char *)bytes, room, &len))
        token->claims = document_parse((struct sluice_span){bytes, len});
    free(bytes);
    return token->claims ? REFUSAL_NONE : REFUSAL_CLAIMS;
}

/* A media type without a slash means one of "application/". */
static struct sluice_span short_type(struct sluice_span type)
{
    static const char prefix[] = "application/";
    size_t len = sizeof(prefix) - 1;

    if (type.len > len && span_is_word((struct sluice_span){type.ptr, len}, span_of(prefix)) &&
        !memchr(type.ptr + len, '/', type.len - len))
        return (struct sluice_span){type.ptr + len, type.len - len};
    return type;
}

bool token_is_type(const struct token *token, const struct sluice_span *types, size_t n)
{
    struct sluice_span type = short_type(document_text(token->header, "typ"));

    for (size_t i = 0; i < n; i++) {
        if (type.len > 0 && span_is_word(type, short_type(types[i])))
            return true;
    }
    return false;
}
