/* What attackers try with tokens and keys, and what must go on working. */
#include "sign.h"

#include "jwt_auth/token.h"
#include "kit/span.h"

#include "unit.h"

#define CLAIMS "{\"sub\":\"me\"}"

static struct keyset *set_of(const char *jwk)
{
    struct keyset *set = keyset_new();
    struct keyset_report report;

    ck_assert(keyset_read(set, span_of(jwk), true, &report));
    return set;
}

static enum refusal verify_with(const char *jwk, const char *text, uint32_t algs)
{
    struct keyset *set = set_of(jwk);
    const struct keyset *const sets[] = {set, NULL};
    struct token token;
    enum refusal refusal = token_read(&token, span_of(text), algs);

    if (refusal == REFUSAL_NONE)
        refusal = token_verify(&token, sets, 2);
    if (refusal == REFUSAL_NONE)
        refusal = token_claims(&token);
    token_fini(&token);
    keyset_free(&set);
    return refusal;
}

static enum refusal verify(const char *jwk, const char *text)
{
    return verify_with(jwk, text, ALG_EVERY);
}

static char *secret_jwk(const char *more)
{
    return sign_text("{\"kty\":\"oct\",\"k\":\"%s\"%s}",
                     sign_base64(SIGN_SECRET, strlen(SIGN_SECRET)), more);
}

/* HS256, with a header of one's own. */
static enum refusal verify_header(const char *header)
{
    return verify(secret_jwk(""), sign_token(ALG_HS256, NULL, header, CLAIMS));
}

static enum refusal verify_claims(const char *claims)
{
    return verify(secret_jwk(""), sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\"}", claims));
}

static enum key_fault fault_of(const char *jwk)
{
    json_t *document = json_loads(jwk, 0, NULL);
    struct key *key = NULL;
    enum key_fault fault;

    ck_assert_ptr_nonnull(document);
    fault = key_from_jwk(document, true, &key);
    ck_assert((fault == KEY_OK) == (key != NULL));
    key_free(&key);
    json_decref(document);
    return fault;
}

static const char *header_of(enum alg alg)
{
    return sign_text("{\"alg\":\"%s\"}", alg_rule(alg)->name);
}

START_TEST(every_algorithm_is_accepted_with_its_own_key)
{
    for (enum alg alg = 0; alg < ALG_COUNT; alg++) {
        EVP_PKEY *key = sign_key(alg);
        const char *jwk = key ? sign_jwk(key, "") : secret_jwk("");
        const char *token = sign_token(alg, key, header_of(alg), CLAIMS);

        ck_assert_msg(verify(jwk, token) == REFUSAL_NONE, "%s", alg_rule(alg)->name);
        ck_assert_int_eq(verify_with(jwk, token, ALG_EVERY & ~(1u << alg)), REFUSAL_ALG);
    }
}
END_TEST

START_TEST(ed448_is_accepted)
{
    EVP_PKEY *key = sign_keep(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));

    ck_assert_int_eq(
        verify(sign_jwk(key, ""), sign_token(ALG_EDDSA, key, header_of(ALG_EDDSA), CLAIMS)),
        REFUSAL_NONE);
}
END_TEST

START_TEST(a_key_is_used_with_no_algorithm_but_its_own)
{
    EVP_PKEY *keys[] = {sign_key(ALG_RS256), sign_key(ALG_ES256), sign_key(ALG_ES384),
                        sign_key(ALG_EDDSA), NULL};
    const uint32_t own[] = {ALG_RSA_ALL, 1u << ALG_ES256, 1u << ALG_ES384, 1u << ALG_EDDSA,
                            ALG_SYMMETRIC};

    for (size_t i = 0; i < 5; i++) {
        const char *jwk = keys[i] ? sign_jwk(keys[i], "") : secret_jwk("");

        for (enum alg alg = 0; alg < ALG_COUNT; alg++) {
            const char *token;

            if (own[i] & 1u << alg)
                continue;
            token = sign_text("%s.%s.%s", sign_base64(header_of(alg), strlen(header_of(alg))),
                              sign_base64(CLAIMS, strlen(CLAIMS)), sign_base64("signature", 9));
            ck_assert_int_eq(verify(jwk, token), REFUSAL_KEY);
        }
    }
}
END_TEST

START_TEST(a_public_key_is_no_secret)
{
    /* The classic confusion: HMAC over the text of the public key. */
    EVP_PKEY *key = sign_key(ALG_RS256);
    const char *jwk = sign_jwk(key, "");
    const char *text = sign_text("%s.%s", sign_base64("{\"alg\":\"HS256\"}", 15),
                                 sign_base64(CLAIMS, strlen(CLAIMS)));
    const char *token = sign_text("%s.%s", text, sign_signature(ALG_HS256, NULL, jwk, text));
    const char *pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n";
    struct key *made = NULL;

    ck_assert_int_eq(verify(jwk, token), REFUSAL_KEY);
    ck_assert_int_eq(key_from_secret(span_of(pem), span_of(""), 0, &made), KEY_MALFORMED);
    ck_assert_int_eq(key_from_secret(span_of(jwk), span_of(""), 0, &made), KEY_MALFORMED);
    ck_assert_ptr_null(made);
}
END_TEST

START_TEST(alg_of_a_key_binds)
{
    EVP_PKEY *key = sign_key(ALG_RS256);
    const char *jwk = sign_jwk(key, ",\"alg\":\"RS256\"");

    ck_assert_int_eq(verify(jwk, sign_token(ALG_RS256, key, header_of(ALG_RS256), CLAIMS)),
                     REFUSAL_NONE);
    ck_assert_int_eq(verify(jwk, sign_token(ALG_PS256, key, header_of(ALG_PS256), CLAIMS)),
                     REFUSAL_KEY);
    ck_assert_int_eq(verify(jwk, sign_token(ALG_RS512, key, header_of(ALG_RS512), CLAIMS)),
                     REFUSAL_KEY);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"alg\":\"ES256\"")), KEY_ALG);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"alg\":\"HS256\"")), KEY_ALG);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"alg\":\"RSA-OAEP\"")), KEY_ALG);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"alg\":256")), KEY_ALG);
}
END_TEST

START_TEST(use_and_key_ops_of_a_key_bind)
{
    EVP_PKEY *key = sign_key(ALG_ES256);

    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"use\":\"sig\"")), KEY_OK);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"use\":\"enc\"")), KEY_NOT_OURS);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"use\":1")), KEY_NOT_OURS);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"key_ops\":[\"sign\",\"verify\"]")), KEY_OK);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"key_ops\":[\"encrypt\"]")), KEY_NOT_OURS);
    ck_assert_int_eq(fault_of(sign_jwk(key, ",\"key_ops\":\"verify\"")), KEY_NOT_OURS);
}
END_TEST

START_TEST(none_is_refused_however_it_is_written)
{
    const char *const names[] = {"none", "None", "NONE", "nOnE", "none ", "", "HS256\\u0020"};
    const char *payload = sign_base64(CLAIMS, strlen(CLAIMS));

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *header = sign_text("{\"alg\":\"%s\"}", names[i]);

        header = sign_base64(header, strlen(header));
        ck_assert_int_ne(verify(secret_jwk(""), sign_text("%s.%s.", header, payload)),
                         REFUSAL_NONE);
        ck_assert_int_eq(verify(secret_jwk(""), sign_text("%s.%s.AAAA", header, payload)),
                         REFUSAL_ALG);
    }
    ck_assert_int_eq(verify_header("{\"alg\":null}"), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify_header("{\"alg\":[\"HS256\"]}"), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify_header("{\"alg\":\"hs256\"}"), REFUSAL_ALG);
    ck_assert_int_eq(verify_header("{\"typ\":\"JWT\"}"), REFUSAL_MALFORMED);
}
END_TEST

START_TEST(an_empty_signature_is_refused)
{
    const char *token = sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\"}", CLAIMS);

    ck_assert_int_eq(
        verify(secret_jwk(""), sign_text("%.*s.", (int)(strrchr(token, '.') - token), token)),
        REFUSAL_MALFORMED);
    ck_assert_int_eq(
        verify(secret_jwk(""), sign_text("%.*s", (int)(strrchr(token, '.') - token), token)),
        REFUSAL_MALFORMED);
}
END_TEST

START_TEST(keys_in_the_header_are_ignored)
{
    /* Signed right, with the key that the token brings along. */
    EVP_PKEY *theirs = sign_key(ALG_ES256), *ours = sign_key(ALG_ES256);
    const char *header =
        sign_text("{\"alg\":\"ES256\",\"jwk\":%s,\"jku\":\"http://evil.example/jwks\","
                  "\"x5u\":\"http://evil.example/x\",\"x5c\":[\"AAAA\"]}",
                  sign_jwk(theirs, ""));

    ck_assert_int_eq(verify(sign_jwk(ours, ""), sign_token(ALG_ES256, theirs, header, CLAIMS)),
                     REFUSAL_SIGNATURE);
    ck_assert_int_eq(verify(sign_jwk(ours, ""), sign_token(ALG_ES256, ours, header, CLAIMS)),
                     REFUSAL_NONE);
}
END_TEST

START_TEST(a_kid_is_compared_and_nothing_else)
{
    const char *const wrong[] = {
        "b", "", "../../../dev/null", "a' or '1'='1", "a;ls", "http://x/a", "A", "aa", "a\\n"};
    const char *jwk = secret_jwk(",\"kid\":\"a\"");

    ck_assert_int_eq(
        verify(jwk, sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\",\"kid\":\"a\"}", CLAIMS)),
        REFUSAL_NONE);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *header = sign_text("{\"alg\":\"HS256\",\"kid\":\"%s\"}", wrong[i]);

        ck_assert_int_eq(verify(jwk, sign_token(ALG_HS256, NULL, header, CLAIMS)),
                         wrong[i][0] ? REFUSAL_KEY : REFUSAL_NONE);
    }
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"kid\":1}"), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"kid\":{}}"), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"kid\":\"a\\u0000\"}"), REFUSAL_MALFORMED);
}
END_TEST

START_TEST(extensions_are_refused)
{
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}"),
                     REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"crit\":[]}"), REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"crit\":null}"), REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"b64\":false}"), REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"b64\":\"true\"}"), REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}"),
                     REFUSAL_CRITICAL);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"cty\":\"JWT\"}"), REFUSAL_NESTED);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"cty\":\"application/jwt\"}"),
                     REFUSAL_NESTED);
    ck_assert_int_eq(verify_header("{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}"), REFUSAL_ENCRYPTED);
    ck_assert_int_eq(verify(secret_jwk(""), "e30.e30.e30.e30.e30"), REFUSAL_ENCRYPTED);
}
END_TEST

START_TEST(malformed_json_is_refused)
{
    const char *const headers[] = {
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
        "{\"alg\":\"HS256\",\"x\":{\"a\":1,\"a\":1}}",
        "{\"alg\":\"HS256\"}{}",
        "{\"alg\":\"HS256\"} x",
        "{\"alg\":\"HS256\",}",
        "{'alg':'HS256'}",
        "{\"alg\":\"HS256\"",
        "[\"alg\",\"HS256\"]",
        "\"HS256\"",
        "null",
        "",
        "\xef\xbb\xbf{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
        "{\"alg\":\"HS256\",\"x\":\"\\ud800\"}",
        "{\"alg\":\"HS256\",\"x\":\"a\nb\"}",
        "{\"alg\":\"HS256\",\"x\":01}",
        "{\"alg\":\"HS256\",\"x\":1e999}",
        "{\"alg\":\"HS256\",\"x\":123456789012345678901234567890}",
        "{\"alg\":\"HS256\",\"x\":NaN}",
        "{\"alg\":\"HS256\"/*c*/}",
        "{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        ck_assert_msg(verify_header(headers[i]) == REFUSAL_MALFORMED, "%s", headers[i]);
    for (size_t i = 3; i < sizeof(headers) / sizeof(headers[0]); i++)
        ck_assert_msg(verify_claims(headers[i]) != REFUSAL_NONE, "%s", headers[i]);
    ck_assert_int_eq(verify_claims("{\"a\":1,\"a\":2}"), REFUSAL_CLAIMS);
    ck_assert_int_eq(verify_claims("{\"a\":{\"b\":[{\"c\":1,\"c\":2}]}}"), REFUSAL_CLAIMS);
    ck_assert_int_eq(verify_header(" { \"alg\" : \"HS256\" } "), REFUSAL_NONE);
    ck_assert_int_eq(verify_header("{\"alg\":\"\\u0048S256\"}"), REFUSAL_NONE);
    ck_assert_int_eq(verify_claims("{\"x\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}"), REFUSAL_NONE);
    ck_assert_int_eq(verify_claims("{\"x\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"}"), REFUSAL_NONE);
}
END_TEST

START_TEST(malformed_base64_is_refused)
{
    const char *good = sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\"}", "{\"a\":1}");
    const char *jwk = secret_jwk("");
    size_t len = strlen(good);

    ck_assert_int_eq(verify(jwk, good), REFUSAL_NONE);
    for (size_t at = 0; at <= len; at++) {
        const char bad[] = {'=', ' ', '\n', '+', '/', '.', '%', '\t', '\x80'};

        for (size_t i = 0; i < sizeof(bad); i++) {
            const char *text = sign_text("%.*s%c%s", (int)at, good, bad[i], good + at);

            ck_assert_msg(verify(jwk, text) != REFUSAL_NONE, "%s", text);
        }
    }
    /* 32 bytes end in a character whose last 2 bits stand for nothing: only one writing is right */
    for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *c;
         c++) {
        char *text = sign_text("%s", good);

        text[len - 1] = *c;
        ck_assert_int_eq(verify(jwk, text) == REFUSAL_NONE, *c == good[len - 1]);
    }
    ck_assert_int_eq(verify(jwk, sign_text("%s.", good)), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify(jwk, sign_text(".%s", good)), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify(jwk, "...."), REFUSAL_ENCRYPTED);
    ck_assert_int_eq(verify(jwk, "..."), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify(jwk, ".."), REFUSAL_MALFORMED);
    ck_assert_int_eq(verify(jwk, "......"), REFUSAL_MALFORMED);
}
END_TEST

START_TEST(an_ecdsa_signature_is_two_numbers_of_the_right_length)
{
    EVP_PKEY *key = sign_key(ALG_ES256);
    const char *jwk = sign_jwk(key, "");
    const char *text = sign_text("%s.%s", sign_base64("{\"alg\":\"ES256\"}", 15),
                                 sign_base64(CLAIMS, strlen(CLAIMS)));
    unsigned char zeros[64] = {0}, der[128], one[64] = {[31] = 1, [63] = 1};
    size_t len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    ck_assert_int_eq(verify(jwk, sign_text("%s.%s", text, sign_base64(zeros, 64))),
                     REFUSAL_SIGNATURE);
    ck_assert_int_eq(verify(jwk, sign_text("%s.%s", text, sign_base64(one, 64))),
                     REFUSAL_SIGNATURE);
    ck_assert_int_eq(verify(jwk, sign_text("%s.%s", text, sign_base64(one, 63))),
                     REFUSAL_SIGNATURE);
    /* the form that X.509 uses is not that of JWS */
    ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, der, &len, (const unsigned char *)text, strlen(text)), 1);
    ck_assert_int_eq(verify(jwk, sign_text("%s.%s", text, sign_base64(der, len))),
                     REFUSAL_SIGNATURE);
    EVP_MD_CTX_free(ctx);
}
END_TEST

START_TEST(a_pss_signature_has_a_salt_as_long_as_the_hash)
{
    EVP_PKEY *key = sign_key(ALG_PS256);
    const char *text = sign_text("%s.%s", sign_base64("{\"alg\":\"PS256\"}", 15),
                                 sign_base64(CLAIMS, strlen(CLAIMS)));
    unsigned char out[256];
    size_t len = sizeof(out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;

    ck_assert_int_eq(EVP_DigestSignInit(ctx, &with, EVP_sha256(), NULL, key), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(with, 20), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, out, &len, (const unsigned char *)text, strlen(text)), 1);
    ck_assert_int_eq(verify(sign_jwk(key, ""), sign_text("%s.%s", text, sign_base64(out, len))),
                     REFUSAL_SIGNATURE);
    EVP_MD_CTX_free(ctx);
}
END_TEST

START_TEST(weak_keys_are_refused)
{
    EVP_PKEY *small = sign_keep(EVP_RSA_gen(1024));
    const char *n = sign_number(sign_key(ALG_RS256), "n", 0);
    struct key *key = NULL;

    ck_assert_int_eq(fault_of(sign_jwk(small, "")), KEY_WEAK);
    ck_assert_int_eq(fault_of(sign_text("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQ\"}", n)),
                     KEY_WEAK);
    ck_assert_int_eq(fault_of(sign_text("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAA\"}", n)),
                     KEY_WEAK);
    ck_assert_int_eq(
        fault_of(sign_text("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAAAAAAAAAAAQ\"}", n)),
        KEY_WEAK);
    ck_assert_int_eq(key_from_secret(SLUICE_SPAN("short"), span_of(""), 0, &key), KEY_WEAK);
    ck_assert_int_eq(
        key_from_secret((struct sluice_span){SIGN_SECRET, 32}, span_of(""), 1u << ALG_HS512, &key),
        KEY_WEAK);
    ck_assert_int_eq(key_from_secret((struct sluice_span){SIGN_SECRET, 32}, span_of(""), 0, &key),
                     KEY_OK);
    ck_assert_uint_eq(key_algs(key), 1u << ALG_HS256);
    key_free(&key);
}
END_TEST

START_TEST(malformed_keys_are_refused)
{
    EVP_PKEY *rsa = sign_key(ALG_RS256), *ec = sign_key(ALG_ES256);
    const char *x = sign_number(ec, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    const char *y = sign_number(ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    unsigned char zeros[66] = {0};

    ck_assert_int_eq(fault_of(sign_jwk(rsa, ",\"d\":\"AQAB\"")), KEY_PRIVATE);
    ck_assert_int_eq(fault_of(sign_jwk(ec, ",\"d\":\"AQAB\"")), KEY_PRIVATE);
    ck_assert_int_eq(fault_of("{\"kty\":\"RSA\",\"e\":\"AQAB\"}"), KEY_MALFORMED);
    ck_assert_int_eq(fault_of("{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}"), KEY_MALFORMED);
    ck_assert_int_eq(fault_of("{\"kty\":\"RSA\",\"n\":1,\"e\":\"AQAB\"}"), KEY_MALFORMED);
    ck_assert_int_eq(fault_of("{\"kty\":[]}"), KEY_MALFORMED);
    ck_assert_int_eq(fault_of("{\"kty\":\"DSA\"}"), KEY_FOREIGN);
    ck_assert_int_eq(fault_of("{\"kty\":\"EC\",\"crv\":\"secp256k1\"}"), KEY_FOREIGN);
    ck_assert_int_eq(fault_of("{\"kty\":\"OKP\",\"crv\":\"X25519\"}"), KEY_FOREIGN);
    ck_assert_int_eq(fault_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}"),
                     KEY_MALFORMED);
    /* no point of the curve; a coordinate of another length; another curve's */
    ck_assert_int_eq(
        fault_of(sign_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", x, x)),
        KEY_MALFORMED);
    ck_assert_int_eq(
        fault_of(sign_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
                           sign_base64(zeros, 32), sign_base64(zeros, 32))),
        KEY_MALFORMED);
    ck_assert_int_eq(
        fault_of(sign_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
                           sign_base64(zeros, 31), y)),
        KEY_MALFORMED);
    ck_assert_int_eq(
        fault_of(sign_text("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"%s\",\"y\":\"%s\"}", x, y)),
        KEY_MALFORMED);
}
END_TEST

START_TEST(a_set_passes_over_keys_it_cannot_use)
{
    EVP_PKEY *key = sign_key(ALG_ES256);
    const char *text =
        sign_text("{\"keys\":[{\"kty\":\"DSA\"},%s,7,%s,%s]}", sign_jwk(key, ",\"use\":\"enc\""),
                  sign_jwk(key, ",\"kid\":\"a\""), secret_jwk(",\"kid\":\"s\""));
    struct keyset *set = keyset_new();
    struct keyset_report report;
    size_t at = 0;

    ck_assert(keyset_read(set, span_of(text), false, &report));
    ck_assert_uint_eq(report.taken, 1);
    ck_assert_uint_eq(report.passed_over, 4);
    ck_assert_int_eq(report.first_fault, KEY_FOREIGN);
    ck_assert_ptr_nonnull(keyset_next(set, ALG_ES256, SLUICE_SPAN("a"), &at));
    ck_assert_ptr_null(keyset_next(set, ALG_ES256, SLUICE_SPAN("a"), &at));
    at = 0;
    ck_assert_ptr_null(keyset_next(set, ALG_HS256, SLUICE_SPAN("s"), &at));
    keyset_free(&set);
}
END_TEST

START_TEST(a_malformed_set_is_refused)
{
    const char *const texts[] = {"",
                                 "{}",
                                 "[]",
                                 "{\"keys\":{}}",
                                 "{\"keys\":[]} x",
                                 "{\"keys\":[],\"keys\":[]}",
                                 "<html></html>"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct keyset *set = keyset_new();
        struct keyset_report report;

        ck_assert_msg(!keyset_read(set, span_of(texts[i]), true, &report), "%s", texts[i]);
        keyset_free(&set);
    }
}
END_TEST

START_TEST(a_set_is_bounded)
{
    const char *jwk = sign_jwk(sign_key(ALG_EDDSA), "");
    char *text = sign_text("{\"keys\":[%s", jwk);
    struct keyset *set = keyset_new();
    struct keyset_report report;

    for (int i = 0; i < KEYSET_MAX; i++)
        text = sign_text("%s,%s", text, jwk);
    ck_assert(!keyset_read(set, span_of(sign_text("%s]}", text)), true, &report));
    ck_assert_uint_eq(keyset_size(set), KEYSET_MAX);
    keyset_free(&set);
}
END_TEST

START_TEST(types_are_compared_as_media_types)
{
    struct sluice_span types[] = {SLUICE_SPAN_INIT("at+jwt")};
    const struct {
        const char *typ;
        bool fits;
    } cases[] = {{"at+jwt", true}, {"application/at+jwt", true}, {"AT+JWT", true},
                 {"JWT", false},   {"text/at+jwt", false},       {"", false},
                 {"at+jw", false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *header = sign_text("{\"alg\":\"HS256\",\"typ\":\"%s\"}", cases[i].typ);
        struct token token;

        ck_assert_int_eq(
            token_read(&token, span_of(sign_token(ALG_HS256, NULL, header, CLAIMS)), ALG_EVERY),
            REFUSAL_NONE);
        ck_assert_int_eq(token_is_type(&token, types, 1), cases[i].fits);
        token_fini(&token);
    }
}
END_TEST

UNIT_MAIN("plugins/jwt_auth/token", every_algorithm_is_accepted_with_its_own_key, ed448_is_accepted,
          a_key_is_used_with_no_algorithm_but_its_own, a_public_key_is_no_secret,
          alg_of_a_key_binds, use_and_key_ops_of_a_key_bind, none_is_refused_however_it_is_written,
          an_empty_signature_is_refused, keys_in_the_header_are_ignored,
          a_kid_is_compared_and_nothing_else, extensions_are_refused, malformed_json_is_refused,
          malformed_base64_is_refused, an_ecdsa_signature_is_two_numbers_of_the_right_length,
          a_pss_signature_has_a_salt_as_long_as_the_hash, weak_keys_are_refused,
          malformed_keys_are_refused, a_set_passes_over_keys_it_cannot_use,
          a_malformed_set_is_refused, a_set_is_bounded, types_are_compared_as_media_types)
