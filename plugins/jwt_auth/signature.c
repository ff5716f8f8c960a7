/*
 * signature.c - key_verify(): one function a family of algorithms.
 */
#include "key.h"

#include "key_private.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#define DER_MAX 144 /* of an ECDSA signature with P-521: 2 numbers of 67 bytes and their frames */

static const unsigned char *bytes_of(struct sluice_span span)
{
    return (const unsigned char *)span.ptr;
}

static bool verify_hmac(const struct key *key, const struct alg_rule *rule, struct sluice_span text,
                        struct sluice_span signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t len = 0;
    bool same;

    if (signature.len != rule->digest_bytes)
        return false;
    same = EVP_Q_mac(NULL, "HMAC", NULL, rule->digest, NULL, key->secret, key->secret_len,
                     bytes_of(text), text.len, mac, sizeof(mac), &len) &&
           len == signature.len && CRYPTO_memcmp(mac, signature.ptr, len) == 0;
    OPENSSL_cleanse(mac, sizeof(mac));
    return same;
}

/* Salt as long as the hash, and the same hash in MGF1: RFC 7518 3.5. */
static bool set_pss(EVP_PKEY_CTX *with)
{
    return EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(with, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify_public(const struct key *key, const struct alg_rule *rule,
                          struct sluice_span text, struct sluice_span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;
    bool same =
        ctx && EVP_DigestVerifyInit_ex(ctx, &with, rule->digest, NULL, NULL, key->pkey, NULL) == 1;

    if (same && rule->family == ALG_RSA_PSS)
        same = set_pss(with);
    same = same &&
           EVP_DigestVerify(ctx, bytes_of(signature), signature.len, bytes_of(text), text.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return same;
}

static bool verify_rsa(const struct key *key, const struct alg_rule *rule, struct sluice_span text,
                       struct sluice_span signature)
{
    return signature.len == (size_t)EVP_PKEY_get_size(key->pkey) &&
           verify_public(key, rule, text, signature);
}

/* r and s as JWS has them, each as long as the curve's order, into what OpenSSL wants. */
static int der_of(const struct alg_rule *rule, struct sluice_span signature, unsigned char *der)
{
    size_t half = rule->coordinate_bytes;
    BIGNUM *r = BN_bin2bn(bytes_of(signature), (int)half, NULL);
    BIGNUM *s = BN_bin2bn(bytes_of(signature) + half, (int)half, NULL);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    int len = 0;

    if (!r || !s || !pair || BN_is_zero(r) || BN_is_zero(s) || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else {
        len = i2d_ECDSA_SIG(pair, &der);
    }
    ECDSA_SIG_free(pair);
    return len;
}

static bool verify_ecdsa(const struct key *key, const struct alg_rule *rule,
                         struct sluice_span text, struct sluice_span signature)
{
    unsigned char der[DER_MAX];
    int len;

    if (signature.len != 2 * rule->coordinate_bytes)
        return false;
    len = der_of(rule, signature, der);
    return len > 0 &&
           verify_public(key, rule, text, (struct sluice_span){(const char *)der, (size_t)len});
}

bool key_verify(const struct key *key, enum alg alg, struct sluice_span text,
                struct sluice_span signature)
{
    const struct alg_rule *rule = alg_rule(alg);

    if ((key->algs & 1u << alg) == 0)
        return false;
    switch (rule->family) {
    case ALG_HMAC:
        return key->secret && verify_hmac(key, rule, text, signature);
    case ALG_RSA:
    case ALG_RSA_PSS:
        return key->pkey && verify_rsa(key, rule, text, signature);
    case ALG_ECDSA:
        return key->pkey && verify_ecdsa(key, rule, text, signature);
    case ALG_EDWARDS:
        return key->pkey && verify_public(key, rule, text, signature);
    }
    return false;
}
