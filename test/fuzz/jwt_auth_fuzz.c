/*
 * jwt_auth_fuzz.c - tokens and key sets: whatever is accepted keeps its promises.
 *
 * Input: the first byte chooses: 'k' a JWKS, 'c' claims, anything else (itself included) a token.
 */
#include "base/check.h"
#include "jwt_auth/claims.h"
#include "jwt_auth/document.h"
#include "jwt_auth/keyset.h"
#include "jwt_auth/token.h"
#include "kit/span.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

/* The key of RFC 7515 A.1, so that a whole token can be found. */
static const char secret_jwk[] =
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hc"
    "gUuTwjAzZr1Z9CAow\"}";

static void check_claims(const json_t *claims)
{
    const struct claims_rules rules = {.needs_exp = true, .leeway_ms = 1000, .max_age_ms = 60000};
    uint64_t now_us = UINT64_C(1300819370000000), until_us;
    const char *name;
    json_t *value;
    char line[64];
    size_t len;

    if (claims_check(&rules, claims, now_us, &until_us) == REFUSAL_NONE)
        CHECK(until_us > now_us);
    json_object_foreach((json_t *)(uintptr_t)claims, name, value)
    {
        CHECK(claims_find(claims, span_of(name)) == value);
        if (!claims_render(value, line, sizeof(line), &len))
            continue;
        CHECK(len <= sizeof(line));
        for (size_t i = 0; i < len; i++)
            CHECK((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    }
}

static void feed_token(struct sluice_span text)
{
    struct keyset *set = keyset_new();
    const struct keyset *const sets[] = {set};
    struct keyset_report report;
    struct token token;

    CHECK(set && keyset_read(set, span_of(secret_jwk), true, &report) && report.taken == 1);
    if (token_read(&token, text, ALG_EVERY) == REFUSAL_NONE) {
        CHECK(token.alg < ALG_COUNT && token.kid.len <= KEY_KID_MAX);
        CHECK(token.signature_len > 0 && token.signature_len <= sizeof(token.signature));
        CHECK(token.signed_part.ptr == text.ptr && token.signed_part.len < text.len);
        (void)token_verify(&token, sets, 1);
        if (token_claims(&token) == REFUSAL_NONE)
            check_claims(token.claims);
    }
    token_fini(&token);
    keyset_free(&set);
}

static void feed_keys(struct sluice_span text)
{
    struct keyset *set = keyset_new();
    struct keyset_report report;
    const struct key *key;

    CHECK(set);
    if (keyset_read(set, text, true, &report))
        CHECK(report.taken == keyset_size(set));
    CHECK(keyset_size(set) <= KEYSET_MAX);
    for (enum alg alg = 0; alg < ALG_COUNT; alg++) {
        for (size_t at = 0; (key = keyset_next(set, alg, (struct sluice_span){NULL, 0}, &at));) {
            CHECK(key_algs(key) & 1u << alg);
            CHECK(!key_verify(key, alg, SLUICE_SPAN("text"), SLUICE_SPAN("no signature")));
        }
    }
    keyset_free(&set);
}

static void feed_claims(struct sluice_span text)
{
    json_t *claims = document_parse(text);

    if (claims)
        check_claims(claims);
    json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct sluice_span text = {(const char *)input, len};
    struct sluice_span rest = {(const char *)input + 1, len > 0 ? len - 1 : 0};

    if (len > 0 && input[0] == 'k')
        feed_keys(rest);
    else if (len > 0 && input[0] == 'c')
        feed_claims(rest);
    else
        feed_token(text);
    return 0;
}
