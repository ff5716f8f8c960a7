/*
 * key.c - keys from JWK, PEM and secrets: read, judged, bound to their algorithms.
 */
#include "key.h"

#include "base64.h"
#include "document.h"
#include "key_private.h"
#include "kit/span.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdlib.h>

#define COORDINATE_MAX 66 /* of P-521 */
#define EXPONENT_MAX   8  /* bytes; a longer one only makes verification slow */
#define SECRET_MAX     1024

const char *key_fault_text(enum key_fault fault)
{
    switch (fault) {
    case KEY_OK:
        return "is fine";
    case KEY_FOREIGN:
        return "has a type or curve that is not supported";
    case KEY_NOT_OURS:
        return "is not meant for verifying signatures";
    case KEY_MALFORMED:
        return "is malformed";
    case KEY_WEAK:
        return "is too weak: RSA from 2048 to 8192 bits, secrets as long as the hash";
    case KEY_PRIVATE:
        return "is a private key: give its public half";
    case KEY_ALG:
        return "names an algorithm that does not go with its type";
    case KEY_SYMMETRIC:
        return "is a secret: give it under keys";
    }
    return "";
}

/* -- life ------------------------------------------------------------------ */

void key_free(struct key **key)
{
    struct key *gone = *key;

    *key = NULL;
    if (!gone)
        return;
    EVP_PKEY_free(gone->pkey);
    if (gone->secret)
        OPENSSL_clear_free(gone->secret, gone->secret_len);
    free(gone);
}

static struct key *key_new(struct sluice_span kid)
{
    struct key *key = calloc(1, sizeof(*key));

    if (key && kid.len > 0) {
        memcpy(key->kid, kid.ptr, kid.len);
        key->kid_len = kid.len;
    }
    return key;
}

/* -- what a key may be used for ---------------------------------------------- */

/* The curve's algorithm; 0: none that is known. */
static uint32_t algs_of_group(const char *group)
{
    for (enum alg alg = ALG_ES256; alg <= ALG_ES512; alg++) {
        if (strcmp(group, alg_rule(alg)->group) == 0)
            return 1u << alg;
    }
    return 0;
}

static bool rsa_is_sound(EVP_PKEY *pkey)
{
    BIGNUM *n = NULL, *e = NULL;
    bool sound = EVP_PKEY_get_bits(pkey) >= KEY_RSA_BITS_MIN &&
                 EVP_PKEY_get_bits(pkey) <= KEY_RSA_BITS_MAX &&
                 EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) &&
                 EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) && BN_is_odd(n) &&
                 BN_is_odd(e) && !BN_is_one(e) && BN_num_bytes(e) <= EXPONENT_MAX;

    BN_free(n);
    BN_free(e);
    return sound;
}

/* On the curve, and not its neutral point. */
static bool point_is_valid(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *asking = EVP_PKEY_CTX_new(pkey, NULL);
    bool valid = asking && EVP_PKEY_public_check(asking) == 1;

    EVP_PKEY_CTX_free(asking);
    return valid;
}

static enum key_fault judge_ec(EVP_PKEY *pkey, uint32_t *algs)
{
    char group[64];
    size_t len;

    if (!EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len))
        return KEY_FOREIGN;
    *algs = algs_of_group(group);
    if (*algs == 0)
        return KEY_FOREIGN;
    return point_is_valid(pkey) ? KEY_OK : KEY_MALFORMED;
}

/* Which algorithms go with the type of this public key. */
static enum key_fault judge(EVP_PKEY *pkey, uint32_t *algs)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        *algs = ALG_RSA_ALL;
        return rsa_is_sound(pkey) ? KEY_OK : KEY_WEAK;
    case EVP_PKEY_EC:
        return judge_ec(pkey, algs);
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        *algs = 1u << ALG_EDDSA;
        return KEY_OK;
    default:
        return KEY_FOREIGN;
    }
}

/* Takes *pkey. wanted: a set, 0: all that fit. */
static enum key_fault finish(EVP_PKEY **pkey, struct sluice_span kid, uint32_t wanted,
                             struct key **key)
{
    EVP_PKEY *taken = *pkey;
    uint32_t algs = 0;
    enum key_fault fault = judge(taken, &algs);

    *pkey = NULL;
    if (fault == KEY_OK && wanted != 0) {
        algs &= wanted;
        fault = algs != 0 ? KEY_OK : KEY_ALG;
    }
    if (fault == KEY_OK) {
        *key = key_new(kid);
        fault = *key ? KEY_OK : KEY_MALFORMED;
    }
    if (fault != KEY_OK) {
        EVP_PKEY_free(taken);
        return fault;
    }
    (*key)->pkey = taken;
    (*key)->algs = algs;
    return KEY_OK;
}

/* -- JWK --------------------------------------------------------------------- */

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *making = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = NULL;

    if (!making || !params || EVP_PKEY_fromdata_init(making) != 1 ||
        EVP_PKEY_fromdata(making, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(making);
    return pkey;
}

static BIGNUM *number_of(const json_t *jwk, const char *name)
{
    unsigned char bytes[KEY_SIGNATURE_MAX + 1];
    size_t len;

    if (!base64_decode_url(document_text(jwk, name), bytes, sizeof(bytes), &len) || len == 0)
        return NULL;
    return BN_bin2bn(bytes, (int)len, NULL);
}

static enum key_fault rsa_from_jwk(const json_t *jwk, EVP_PKEY **pkey)
{
    BIGNUM *n = number_of(jwk, "n"), *e = number_of(jwk, "e");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    enum key_fault fault = KEY_MALFORMED;

    if (!n || !e || !build)
        goto out;
    if (BN_num_bits(n) < KEY_RSA_BITS_MIN || BN_num_bits(n) > KEY_RSA_BITS_MAX) {
        fault = KEY_WEAK;
        goto out;
    }
    if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
        *pkey = pkey_from("RSA", build);
    fault = *pkey ? KEY_OK : KEY_MALFORMED;

out:
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return fault;
}

/* Each coordinate has the length of the field, RFC 7518 6.2.1.2. */
static bool coordinate_of(const json_t *jwk, const char *name, size_t bytes, unsigned char *out)
{
    size_t len;

    return base64_decode_url(document_text(jwk, name), out, bytes, &len) && len == bytes;
}

static const struct alg_rule *rule_of_curve(struct sluice_span curve)
{
    for (enum alg alg = ALG_ES256; alg <= ALG_ES512; alg++) {
        if (span_is(curve, span_of(alg_rule(alg)->curve)))
            return alg_rule(alg);
    }
    return NULL;
}

static enum key_fault ec_from_jwk(const json_t *jwk, EVP_PKEY **pkey)
{
    const struct alg_rule *rule = rule_of_curve(document_text(jwk, "crv"));
    unsigned char point[1 + 2 * COORDINATE_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM_BLD *build;
    size_t half;

    if (!rule)
        return document_text(jwk, "crv").ptr ? KEY_FOREIGN : KEY_MALFORMED;
    half = rule->coordinate_bytes;
    if (!coordinate_of(jwk, "x", half, point + 1) ||
        !coordinate_of(jwk, "y", half, point + 1 + half))
        return KEY_MALFORMED;
    build = OSSL_PARAM_BLD_new();
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, rule->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * half))
        *pkey = pkey_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return *pkey ? KEY_OK : KEY_MALFORMED;
}

static enum key_fault okp_from_jwk(const json_t *jwk, EVP_PKEY **pkey)
{
    struct sluice_span curve = document_text(jwk, "crv");
    unsigned char point[57];
    size_t len;
    int type;

    if (span_is(curve, SLUICE_SPAN("Ed25519"))) {
        type = EVP_PKEY_ED25519;
    } else if (span_is(curve, SLUICE_SPAN("Ed448"))) {
        type = EVP_PKEY_ED448;
    } else {
        return curve.ptr ? KEY_FOREIGN : KEY_MALFORMED;
    }
    if (!base64_decode_url(document_text(jwk, "x"), point, sizeof(point), &len))
        return KEY_MALFORMED;
    *pkey = EVP_PKEY_new_raw_public_key(type, NULL, point, len);
    return *pkey ? KEY_OK : KEY_MALFORMED;
}

/* "use" and "key_ops" allow verification, or say nothing. */
static bool is_for_verifying(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");

    if (use && !span_is(document_span(use), SLUICE_SPAN("sig")))
        return false;
    if (!ops)
        return true;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        if (span_is(document_span(json_array_get(ops, i)), SLUICE_SPAN("verify")))
            return true;
    }
    return false;
}

static enum key_fault secret_from_jwk(const json_t *jwk, struct sluice_span kid, uint32_t algs,
                                      struct key **key)
{
    unsigned char bytes[SECRET_MAX];
    enum key_fault fault = KEY_MALFORMED;
    size_t len;

    if (base64_decode_url(document_text(jwk, "k"), bytes, sizeof(bytes), &len))
        fault = key_from_secret((struct sluice_span){(const char *)bytes, len}, kid, algs, key);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return fault;
}

/* The name and the algorithm that may stand beside any key. */
static enum key_fault frame_of(const json_t *jwk, struct sluice_span *kid, uint32_t *algs)
{
    const json_t *named = json_object_get(jwk, "kid"), *alg_named = json_object_get(jwk, "alg");
    enum alg alg;

    *kid = document_span(named);
    *algs = 0;
    if ((named && !kid->ptr) || kid->len > KEY_KID_MAX)
        return KEY_MALFORMED;
    if (!is_for_verifying(jwk))
        return KEY_NOT_OURS;
    if (!alg_named)
        return KEY_OK;
    if (!alg_find(document_span(alg_named), &alg))
        return KEY_ALG;
    *algs = 1u << alg;
    return KEY_OK;
}

enum key_fault key_from_jwk(const json_t *jwk, bool secrets, struct key **key)
{
    struct sluice_span kty = document_text(jwk, "kty"), kid;
    EVP_PKEY *pkey = NULL;
    uint32_t algs;
    enum key_fault fault = kty.ptr ? frame_of(jwk, &kid, &algs) : KEY_MALFORMED;

    *key = NULL;
    if (fault != KEY_OK)
        return fault;
    if (span_is(kty, SLUICE_SPAN("oct")))
        return secrets ? secret_from_jwk(jwk, kid, algs, key) : KEY_SYMMETRIC;
    if (json_object_get(jwk, "d"))
        return KEY_PRIVATE;
    if (span_is(kty, SLUICE_SPAN("RSA"))) {
        fault = rsa_from_jwk(jwk, &pkey);
    } else if (span_is(kty, SLUICE_SPAN("EC"))) {
        fault = ec_from_jwk(jwk, &pkey);
    } else if (span_is(kty, SLUICE_SPAN("OKP"))) {
        fault = okp_from_jwk(jwk, &pkey);
    } else {
        return KEY_FOREIGN;
    }
    if (fault == KEY_OK)
        fault = finish(&pkey, kid, algs, key);
    ERR_clear_error();
    return fault;
}

/* -- PEM and secrets ------------------------------------------------------------ */

static EVP_PKEY *pkey_of_certificate(struct sluice_span pem)
{
    BIO *source = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate = source ? PEM_read_bio_X509(source, NULL, NULL, NULL) : NULL;
    EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;

    X509_free(certificate);
    BIO_free(source);
    return pkey;
}

enum key_fault key_from_pem(struct sluice_span pem, struct sluice_span kid, uint32_t algs,
                            struct key **key)
{
    BIO *source = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = source ? PEM_read_bio_PUBKEY(source, NULL, NULL, NULL) : NULL;
    enum key_fault fault = KEY_MALFORMED;

    *key = NULL;
    BIO_free(source);
    if (!pkey)
        pkey = pkey_of_certificate(pem);
    if (pkey && kid.len <= KEY_KID_MAX) {
        fault = finish(&pkey, kid, algs, key);
    } else if (!pkey && pem.len > 0 && memmem(pem.ptr, pem.len, "PRIVATE KEY-----", 16)) {
        fault = KEY_PRIVATE;
    }
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return fault;
}

/* Of a secret: those whose hash is not longer, RFC 7518 3.2. */
static uint32_t algs_of_secret(size_t len)
{
    uint32_t algs = 0;

    for (enum alg alg = ALG_HS256; alg <= ALG_HS512; alg++) {
        if (len >= alg_rule(alg)->digest_bytes)
            algs |= 1u << alg;
    }
    return algs;
}

/* A public key given as a secret: the mistake that alg confusion lives from. */
static bool is_public_key(struct sluice_span secret)
{
    return secret.len > 0 && (memmem(secret.ptr, secret.len, "-----BEGIN ", 11) ||
                              memmem(secret.ptr, secret.len, "\"kty\"", 5));
}

enum key_fault key_from_secret(struct sluice_span secret, struct sluice_span kid, uint32_t algs,
                               struct key **key)
{
    uint32_t fitting = algs_of_secret(secret.len);

    *key = NULL;
    if (algs != 0 && (algs & ALG_SYMMETRIC) == 0)
        return KEY_ALG;
    if (algs != 0)
        fitting &= algs;
    if (fitting == 0)
        return KEY_WEAK;
    if (is_public_key(secret) || secret.len > SECRET_MAX || kid.len > KEY_KID_MAX)
        return KEY_MALFORMED;
    *key = key_new(kid);
    if (*key)
        (*key)->secret = OPENSSL_memdup(secret.ptr, secret.len);
    if (!*key || !(*key)->secret) {
        key_free(key);
        return KEY_MALFORMED;
    }
    (*key)->secret_len = secret.len;
    (*key)->algs = fitting;
    return KEY_OK;
}

/* -- questions -------------------------------------------------------------------- */

uint32_t key_algs(const struct key *key)
{
    return key->algs;
}

struct sluice_span key_kid(const struct key *key)
{
    return (struct sluice_span){key->kid, key->kid_len};
}
