/*
 * jwt_auth_bench.c - what a request with a token costs the plugin: seen before, new, and refused.
 *
 * A host of nothing but the services that a request needs, so that the plugin is measured and not
 * the gateway. Ends with an error when a token that was seen before takes memory. Started by
 * "make bench-parts".
 */
#include "jwt_auth/options.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 500, SEEN = 8, SEEN_ROUNDS = 400000, WORKER = 256, FIELDS = 7 };

static size_t allocations;
void *__libc_malloc(size_t bytes);
void *malloc(size_t bytes);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

/* -- a host -------------------------------------------------------------------- */

static struct sluice_pair fields[FIELDS] = {
    {SLUICE_SPAN_INIT("host"), SLUICE_SPAN_INIT("api.example.com")},
    {SLUICE_SPAN_INIT("user-agent"), SLUICE_SPAN_INIT("orders-client/2.1")},
    {SLUICE_SPAN_INIT("accept"), SLUICE_SPAN_INIT("application/json")},
    {SLUICE_SPAN_INIT("accept-encoding"), SLUICE_SPAN_INIT("gzip")},
    {SLUICE_SPAN_INIT("content-type"), SLUICE_SPAN_INIT("application/json")},
    {SLUICE_SPAN_INIT("x-request-id"), SLUICE_SPAN_INIT("4bf92f3577b34da6a3ce929d0e0e4736")},
    {SLUICE_SPAN_INIT("authorization"), {NULL, 0}},
};
static unsigned n_attributes;

__attribute__((format(printf, 4, 5))) static void conf_error(struct sluice_setup *setup,
                                                             const char *option, const char *hint,
                                                             const char *format, ...)
{
    va_list args;

    (void)setup;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (%s: %s)\n", option ? option : "", hint ? hint : "");
    exit(EXIT_FAILURE);
}

static void *conf_alloc(struct sluice_setup *setup, size_t bytes)
{
    (void)setup;
    return calloc(1, bytes); /* as long as the process */
}

static uint32_t attribute(struct sluice_setup *setup, struct sluice_span name)
{
    (void)setup, (void)name;
    return 1;
}

static struct sluice_metric *metric(struct sluice_setup *setup,
                                    const struct sluice_metric_spec *spec)
{
    (void)setup, (void)spec;
    return NULL;
}

static bool field_each(const struct sluice_call *call, enum sluice_side side, size_t *at,
                       struct sluice_pair *line)
{
    (void)call, (void)side;
    if (*at == FIELDS)
        return false;
    *line = fields[(*at)++];
    return true;
}

static uint64_t wall_us(const struct sluice_call *call)
{
    (void)call;
    return UINT64_C(1700000000000000);
}

static bool attribute_set(const struct sluice_call *call, uint32_t id, struct sluice_span value)
{
    (void)call, (void)id, (void)value;
    n_attributes++;
    return true;
}

static void metric_add(const struct sluice_call *call, struct sluice_metric *into,
                       const struct sluice_span *values, double amount)
{
    (void)call, (void)into, (void)values, (void)amount;
}

static bool reply(const struct sluice_call *call, const struct sluice_reply *answer)
{
    (void)call, (void)answer;
    return true;
}

static void note(const struct sluice_call *call, struct sluice_span word)
{
    (void)call, (void)word;
}

static const struct sluice_host host = {.size = sizeof(host),
                                        .conf_error = conf_error,
                                        .conf_alloc = conf_alloc,
                                        .attribute = attribute,
                                        .metric = metric,
                                        .field_each = field_each,
                                        .wall_us = wall_us,
                                        .attribute_set = attribute_set,
                                        .metric_add = metric_add,
                                        .reply = reply,
                                        .note = note};

/* -- an issuer -------------------------------------------------------------------------- */

struct kind {
    const char *name, *digest;
    int half; /* bytes of half an ECDSA signature; 0: another kind */
    bool is_pss;
};

static char *base64(const unsigned char *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *text = calloc(1, len * 2 + 4), *out = text;
    unsigned bits = 0, n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (n += 8; n >= 6; n -= 6)
            *out++ = alphabet[bits >> (n - 6) & 63];
    }
    if (n > 0)
        *out++ = alphabet[bits << (6 - n) & 63];
    return text;
}

static char *number_of(EVP_PKEY *key, const char *name, int bytes)
{
    unsigned char raw[1024];
    BIGNUM *number = NULL;
    char *text;

    EVP_PKEY_get_bn_param(key, name, &number);
    bytes = bytes ? bytes : BN_num_bytes(number);
    BN_bn2binpad(number, raw, bytes);
    text = base64(raw, (size_t)bytes);
    BN_free(number);
    return text;
}

static char *jwks_of(EVP_PKEY *key, const struct kind *kind)
{
    unsigned char raw[57];
    size_t len = sizeof(raw);
    char *text = calloc(1, 2048);

    if (kind->half)
        snprintf(
            text, 2048, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-%s\",\"x\":\"%s\",\"y\":\"%s\"}]}",
            kind->half == 32 ? "256" : "384", number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, kind->half),
            number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, kind->half));
    else if (kind->digest)
        snprintf(text, 2048, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}]}",
                 number_of(key, "n", 0), number_of(key, "e", 0));
    else if (EVP_PKEY_get_raw_public_key(key, raw, &len))
        snprintf(text, 2048, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}]}",
                 base64(raw, len));
    return text;
}

static char *token_of(EVP_PKEY *key, const struct kind *kind, int serial)
{
    char header[64], payload[512], *token = calloc(1, 4096);
    unsigned char out[1024], raw[132];
    const unsigned char *der = out;
    size_t len = sizeof(out), used;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;

    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", kind->name);
    snprintf(payload, sizeof(payload),
             "{\"iss\":\"https://id.example.com/\",\"sub\":\"7d793037-a076-4d42-a0c9-%012d\","
             "\"aud\":[\"orders\",\"account\"],\"exp\":1700003600,\"iat\":1700000000,"
             "\"azp\":\"orders-web\",\"scope\":\"openid profile email orders.read\","
             "\"realm_access\":{\"roles\":[\"admin\",\"editor\"]},\"preferred_username\":\"jo\"}",
             serial);
    used = (size_t)snprintf(token, 4096, "%s.%s", base64((unsigned char *)header, strlen(header)),
                            base64((unsigned char *)payload, strlen(payload)));
    EVP_DigestSignInit_ex(ctx, &with, kind->digest, NULL, NULL, key, NULL);
    if (kind->is_pss) {
        EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(with, RSA_PSS_SALTLEN_DIGEST);
    }
    if (EVP_DigestSign(ctx, out, &len, (unsigned char *)token, used) != 1)
        exit(EXIT_FAILURE);
    if (kind->half) {
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);

        BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, kind->half);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + kind->half, kind->half);
        ECDSA_SIG_free(pair);
        der = raw;
        len = 2 * (size_t)kind->half;
    } else {
        der = out;
    }
    snprintf(token + used, 4096 - used, ".%s", base64(der, len));
    EVP_MD_CTX_free(ctx);
    return token;
}

/* -- measuring ------------------------------------------------------------------------------ */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Microseconds that n requests with these tokens took, each; all have the same verdict. */
static double ask(const struct sluice_call *call, char *const values[], size_t n,
                  enum sluice_verdict want)
{
    double begun = seconds();

    for (size_t i = 0; i < n; i++) {
        fields[FIELDS - 1].value = (struct sluice_span){values[i], strlen(values[i])};
        if (sluice_plugin.on_request_head(call) != want) {
            fprintf(stderr, "a token was not judged as it should be\n");
            exit(EXIT_FAILURE);
        }
    }
    return (seconds() - begun) / (double)n * 1e6;
}

/* The first n of values over and over; they were asked before. */
static double ask_again(const struct sluice_call *call, char *const values[], size_t n,
                        enum sluice_verdict want)
{
    size_t before = allocations;
    double best = 1e9, us;

    for (size_t done = 0; done < SEEN_ROUNDS; done += n) {
        us = ask(call, values, n, want);
        best = us < best ? us : best;
    }
    if (allocations != before) {
        fprintf(stderr, "a token that was seen before took memory\n");
        exit(EXIT_FAILURE);
    }
    return best;
}

static char *value_of(const char *token)
{
    char *value = calloc(1, strlen(token) + 8);

    snprintf(value, strlen(token) + 8, "Bearer %s", token);
    return value;
}

static void measure(const struct kind *kind, EVP_PKEY *key)
{
    static char worker[WORKER], ctx[WORKER], *values[ROUNDS], *bad[ROUNDS];
    struct options conf = {.jwks_file = {SLUICE_SPAN("jwks"), {0}},
                           .rules = {.needs_exp = true, .leeway_ms = 30000},
                           .field = SLUICE_SPAN("Authorization"),
                           .scheme = SLUICE_SPAN("Bearer"),
                           .strip = STRIP_QUERY,
                           .max_token = 8192,
                           .is_required = true,
                           .consumer_claim = SLUICE_SPAN("sub"),
                           .groups_claim = SLUICE_SPAN("realm_access.roles"),
                           .realm = SLUICE_SPAN("api"),
                           .cache_tokens = 4096,
                           .cache_refusals_ms = 5000};
    struct sluice_call call = {.host = &host, .conf = &conf, .worker = worker, .ctx = ctx};
    const char *jwks = jwks_of(key, kind);
    double fresh, seen, forged, forged_seen;

    conf.jwks_file.content = (struct sluice_span){jwks, strlen(jwks)};
    sluice_plugin.conf_check(&host, NULL, &conf);
    if (!sluice_plugin.conf_start(&host, NULL, &conf) || !sluice_plugin.worker_start(&call))
        exit(EXIT_FAILURE);
    for (int i = 0; i < ROUNDS; i++) {
        values[i] = value_of(token_of(key, kind, i));
        bad[i] = value_of(token_of(key, kind, i));
        bad[i][strlen(bad[i]) - 20] ^= 1; /* another character of the alphabet, mostly */
    }
    fresh = ask(&call, values, ROUNDS, SLUICE_NEXT);
    seen = ask_again(&call, values, SEEN, SLUICE_NEXT);
    forged = ask(&call, bad, ROUNDS, SLUICE_REPLIED);
    forged_seen = ask_again(&call, bad, SEEN, SLUICE_REPLIED);
    printf(
        "  %-6s token of %4zu bytes: new %7.1f us, seen %6.3f us, forged %7.1f us, seen %6.3f us\n",
        kind->name, strlen(values[0]) - 7, fresh, seen, forged, forged_seen);
    sluice_plugin.worker_stop(&call);
    sluice_plugin.conf_fini(&host, &conf);
    memset(worker, 0, sizeof(worker));
}

int main(int argc, char **argv)
{
    const struct {
        struct kind kind;
        EVP_PKEY *key;
    } all[] = {
        {{"RS256", "SHA256", 0, false}, EVP_RSA_gen(2048)},
        {{"PS256", "SHA256", 0, true}, EVP_RSA_gen(2048)},
        {{"RS512", "SHA512", 0, false}, EVP_RSA_gen(4096)},
        {{"ES256", "SHA256", 32, false}, EVP_EC_gen("P-256")},
        {{"ES384", "SHA384", 48, false}, EVP_EC_gen("P-384")},
        {{"EdDSA", NULL, 0, false}, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (argc < 2 || strcmp(argv[1], all[i].kind.name) == 0)
            measure(&all[i].kind, all[i].key);
    }
    return EXIT_SUCCESS;
}
