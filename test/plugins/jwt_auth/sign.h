/*
 * sign.h - an issuer for tests: keys made here, tokens signed with them, right or wrong.
 *
 * What is made here lasts as long as the test, which is a process.
 */
#ifndef TEST_PLUGINS_JWT_AUTH_SIGN_H
#define TEST_PLUGINS_JWT_AUTH_SIGN_H

#include "jwt_auth/alg.h"

#include <check.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGN_SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Keep what was made, where a leak checker sees that it is wanted. */
static inline void *sign_keep(void *made)
{
    static struct kept {
        struct kept *next;
        void *made;
    } * all;
    struct kept *kept = malloc(sizeof(*kept));

    ck_assert(kept && made);
    *kept = (struct kept){all, made};
    all = kept;
    return made;
}

__attribute__((format(printf, 1, 2))) static inline char *sign_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    ck_assert_int_ge(vasprintf(&text, format, args), 0);
    va_end(args);
    return sign_keep(text);
}

static inline char *sign_base64(const void *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = bytes;
    char *text = sign_keep(calloc(1, len * 4 / 3 + 4)), *out = text;
    unsigned bits = 0, n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (n += 8; n >= 6; n -= 6)
            *out++ = alphabet[bits >> (n - 6) & 63];
    }
    if (n > 0)
        *out++ = alphabet[bits << (6 - n) & 63];
    return text;
}

static inline char *sign_number(EVP_PKEY *key, const char *name, int bytes)
{
    unsigned char raw[1024];
    BIGNUM *number = NULL;
    char *text;

    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, name, &number), 1);
    if (bytes == 0)
        bytes = BN_num_bytes(number);
    ck_assert_int_eq(BN_bn2binpad(number, raw, bytes), bytes);
    text = sign_base64(raw, (size_t)bytes);
    BN_free(number);
    return text;
}

/* more: members to add, as ",\"kid\":\"a\"". */
static inline char *sign_jwk(EVP_PKEY *key, const char *more)
{
    const char *const curves[] = {"P-256", "P-384", "P-521"};
    unsigned char raw[57];
    size_t len = sizeof(raw);
    int type = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key), bytes = (bits + 7) / 8;

    if (type == EVP_PKEY_RSA)
        return sign_text("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", sign_number(key, "n", 0),
                         sign_number(key, "e", 0), more);
    if (type == EVP_PKEY_EC)
        return sign_text("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}",
                         curves[bits == 256   ? 0
                                : bits == 384 ? 1
                                              : 2],
                         sign_number(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes),
                         sign_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes), more);
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
    return sign_text("{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"%s}",
                     type == EVP_PKEY_ED448 ? "Ed448" : "Ed25519", sign_base64(raw, len), more);
}

/* A key that goes with an algorithm; NULL for HMAC. */
static inline EVP_PKEY *sign_key(enum alg alg)
{
    const struct alg_rule *rule = alg_rule(alg);
    EVP_PKEY *key = NULL;

    if (rule->family == ALG_ECDSA)
        key = EVP_EC_gen(rule->group);
    else if (rule->family == ALG_EDWARDS)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else if (rule->family != ALG_HMAC)
        key = EVP_RSA_gen(2048);
    return key ? sign_keep(key) : NULL;
}

static inline char *sign_ecdsa_raw(const unsigned char *der, size_t len, int half)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    unsigned char raw[132];

    ck_assert_ptr_nonnull(pair);
    ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, half), half);
    ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + half, half), half);
    ECDSA_SIG_free(pair);
    return sign_base64(raw, 2 * (size_t)half);
}

/* The signature of text as the third part of a token. key: NULL for HMAC with secret. */
static inline char *sign_signature(enum alg alg, EVP_PKEY *key, const char *secret,
                                   const char *text)
{
    const struct alg_rule *rule = alg_rule(alg);
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char out[1024];
    size_t len = sizeof(out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;

    if (rule->family == ALG_HMAC) {
        ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "HMAC", NULL, rule->digest, NULL, secret,
                                        strlen(secret), bytes, strlen(text), out, len, &len));
        EVP_MD_CTX_free(ctx);
        return sign_base64(out, len);
    }
    ck_assert_int_eq(EVP_DigestSignInit_ex(ctx, &with, rule->digest, NULL, NULL, key, NULL), 1);
    if (rule->family == ALG_RSA_PSS) {
        ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING), 1);
        ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(with, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    ck_assert_int_eq(EVP_DigestSign(ctx, out, &len, bytes, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    return rule->family == ALG_ECDSA ? sign_ecdsa_raw(out, len, (int)rule->coordinate_bytes)
                                     : sign_base64(out, len);
}

/* A token of these two documents, signed. */
static inline char *sign_token(enum alg alg, EVP_PKEY *key, const char *header, const char *payload)
{
    char *text = sign_text("%s.%s", sign_base64(header, strlen(header)),
                           sign_base64(payload, strlen(payload)));

    return sign_text("%s.%s", text, sign_signature(alg, key, SIGN_SECRET, text));
}

#endif /* TEST_PLUGINS_JWT_AUTH_SIGN_H */
