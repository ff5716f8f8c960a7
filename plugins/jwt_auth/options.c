/*
 * options.c - the options of a place are looked at as a whole, and compiled: keys are made, names
 * become numbers, answers become text.
 */
#include "options.h"

#include "base64.h"
#include "document.h"
#include "kit/span.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>

#define ATTRIBUTE_NAME_MAX 128
#define CHALLENGE_MAX      1024

/* What the functions of a check share. */
struct checking {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    struct options *options;
};

/* -- keys -------------------------------------------------------------------- */

static uint32_t algs_of(const struct key_option *option)
{
    return option->alg == 0 ? 0 : 1u << (option->alg - 1);
}

static bool is_document(struct sluice_span text)
{
    text = span_trim(text);
    while (text.len > 0 && (text.ptr[0] == '\n' || text.ptr[0] == '\r')) {
        text.ptr++;
        text.len--;
    }
    return text.len > 0 && text.ptr[0] == '{';
}

static enum key_fault key_of_secret(const struct key_option *option, struct key **key)
{
    unsigned char bytes[1024];
    enum key_fault fault = KEY_MALFORMED;
    size_t len = 0;
    bool decoded;

    if (option->encoding == ENCODING_TEXT)
        return key_from_secret(option->secret, option->kid, algs_of(option), key);
    decoded = option->encoding == ENCODING_BASE64
                  ? base64_decode_padded(option->secret, bytes, sizeof(bytes), &len)
                  : base64_decode_url(option->secret, bytes, sizeof(bytes), &len);
    if (decoded) {
        fault = key_from_secret((struct sluice_span){(const char *)bytes, len}, option->kid,
                                algs_of(option), key);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return fault;
}

/* The options beside a JWK win where the JWK says nothing. */
static enum key_fault key_of_jwk(const struct key_option *option, struct sluice_span text,
                                 struct key **key)
{
    json_t *jwk = document_parse(text);
    enum key_fault fault = KEY_MALFORMED;
    const char *alg = option->alg == 0 ? NULL : alg_rule((enum alg)(option->alg - 1))->name;

    if (!jwk)
        return KEY_MALFORMED;
    if ((option->kid.len == 0 || json_object_get(jwk, "kid") ||
         json_object_set_new(jwk, "kid", json_stringn(option->kid.ptr, option->kid.len)) == 0) &&
        (!alg || json_object_get(jwk, "alg") ||
         json_object_set_new(jwk, "alg", json_string(alg)) == 0))
        fault = key_from_jwk(jwk, true, key);
    json_decref(jwk);
    return fault;
}

static enum key_fault key_of(const struct key_option *option, const char **member, struct key **key)
{
    struct sluice_span text = option->pem;

    *member = "pem";
    if (option->secret.len > 0) {
        *member = "secret";
        return key_of_secret(option, key);
    }
    if (option->jwk.len > 0) {
        *member = "jwk";
        return key_of_jwk(option, option->jwk, key);
    }
    if (option->file.path.len > 0) {
        *member = "file";
        text = option->file.content;
        if (is_document(text))
            return key_of_jwk(option, text, key);
    }
    return key_from_pem(text, option->kid, algs_of(option), key);
}

static void check_key(const struct checking *checking, size_t i)
{
    const struct key_option *option = (const struct key_option *)checking->options->keys.first + i;
    int given = (option->secret.len > 0) + (option->jwk.len > 0) + (option->pem.len > 0) +
                (option->file.path.len > 0);
    const char *member = NULL;
    struct key *key = NULL;
    enum key_fault fault;
    char where[64];

    snprintf(where, sizeof(where), "keys[%zu]", i);
    if (given != 1) {
        checking->host->conf_error(checking->setup, where, "give one of file, pem, jwk and secret",
                                   "a key needs exactly one source, this one has %d", given);
        return;
    }
    fault = key_of(option, &member, &key);
    if (fault == KEY_OK) {
        (void)keyset_add(checking->options->fixed_keys, &key);
        return;
    }
    snprintf(where, sizeof(where), "keys[%zu].%s", i, member);
    checking->host->conf_error(checking->setup, where, NULL, "this key %s", key_fault_text(fault));
}

static void check_jwks_file(const struct checking *checking)
{
    const struct options *options = checking->options;
    struct keyset_report report;

    if (options->jwks_file.path.len == 0)
        return;
    if (!keyset_read(options->fixed_keys, options->jwks_file.content, true, &report)) {
        checking->host->conf_error(checking->setup, "jwks_file",
                                   "an object with a list of at most 64 keys",
                                   "this is no JWKS (RFC 7517)");
        return;
    }
    if (report.taken == 0) {
        checking->host->conf_error(
            checking->setup, "jwks_file", NULL, "none of its keys can be used: the first %s",
            report.passed_over > 0 ? key_fault_text(report.first_fault) : "is missing");
    } else if (report.passed_over > 0) {
        checking->host->conf_warn(checking->setup, "jwks_file", NULL,
                                  "%zu of its keys cannot be used: the first %s",
                                  report.passed_over, key_fault_text(report.first_fault));
    }
}

static void check_algorithms(const struct checking *checking)
{
    struct options *options = checking->options;
    const uint32_t *listed = options->algorithms.first;
    uint32_t of_keys = keyset_algs(options->fixed_keys);

    options->algs = options->algorithms.n > 0 ? 0 : ALG_EVERY & ~ALG_SYMMETRIC;
    for (size_t i = 0; i < options->algorithms.n; i++)
        options->algs |= 1u << listed[i];
    if (keyset_size(options->fixed_keys) > 0 && !options->jwks.target &&
        (of_keys & options->algs) == 0) {
        checking->host->conf_error(
            checking->setup, options->algorithms.n > 0 ? "algorithms" : "keys",
            (of_keys & ALG_SYMMETRIC) != 0 ? "list HS256, HS384 or HS512 under algorithms" : NULL,
            "no key can be used with an accepted algorithm");
    }
}

static void check_keys(const struct checking *checking)
{
    struct options *options = checking->options;

    options->fixed_keys = keyset_new();
    if (!options->fixed_keys) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
        return;
    }
    if (!options->jwks.target && options->jwks_file.path.len == 0 && options->keys.n == 0) {
        checking->host->conf_error(checking->setup, NULL, "give jwks, jwks_file or keys",
                                   "there are no keys to verify tokens with");
    }
    check_jwks_file(checking);
    for (size_t i = 0; i < options->keys.n; i++)
        check_key(checking, i);
    check_algorithms(checking);
}

/* -- values and attributes --------------------------------------------------- */

static uint32_t attribute_of(const struct checking *checking, struct sluice_span claim)
{
    char name[ATTRIBUTE_NAME_MAX];
    int len = snprintf(name, sizeof(name), "auth.claims.%.*s", (int)claim.len, claim.ptr);
    uint32_t id = 0;

    if (len > 0 && (size_t)len < sizeof(name))
        id = checking->host->attribute(checking->setup, (struct sluice_span){name, (size_t)len});
    if (id == 0) {
        checking->host->conf_error(checking->setup, "attributes",
                                   "letters, digits, '_', '-' and '.'; forward takes any claim",
                                   "'%.*s' cannot be the name of an attribute", (int)claim.len,
                                   claim.ptr);
    }
    return id;
}

/* Which claims a grant holds, and the attributes that the first of them become. */
static void name_values(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct sluice_span *claims = options->attributes.first;
    const struct forward_option *forward = options->forward.first;
    size_t n_attributes = VALUE_FIRST_OWN + options->attributes.n, n = 0;
    struct sluice_span *names;
    uint32_t *ids;

    options->n_values = n_attributes + options->forward.n;
    names = checking->host->conf_alloc(checking->setup, options->n_values * sizeof(*names));
    ids = checking->host->conf_alloc(checking->setup, n_attributes * sizeof(*ids));
    names[VALUE_SUBJECT] = SLUICE_SPAN("sub");
    names[VALUE_ISSUER] = SLUICE_SPAN("iss");
    names[VALUE_CONSUMER] = options->consumer_claim;
    names[VALUE_GROUPS] = options->groups_claim;
    ids[VALUE_SUBJECT] = checking->host->attribute(checking->setup, SLUICE_SPAN("auth.subject"));
    ids[VALUE_ISSUER] = checking->host->attribute(checking->setup, SLUICE_SPAN("auth.issuer"));
    ids[VALUE_CONSUMER] = checking->host->attribute(checking->setup, SLUICE_SPAN("consumer.name"));
    ids[VALUE_GROUPS] = checking->host->attribute(checking->setup, SLUICE_SPAN("consumer.groups"));
    n = VALUE_FIRST_OWN;
    for (size_t i = 0; i < options->attributes.n; i++, n++) {
        names[n] = claims[i];
        ids[n] = attribute_of(checking, claims[i]);
    }
    for (size_t i = 0; i < options->forward.n; i++)
        names[n++] = forward[i].claim;
    options->value_names = names;
    options->attribute_ids = ids;
    options->query_id = checking->host->attribute(checking->setup, SLUICE_SPAN("request.query"));
    options->path_id = checking->host->attribute(checking->setup, SLUICE_SPAN("request.path"));
}

/* -- names that go over the wire --------------------------------------------- */

static void want(const struct checking *checking, bool fine, const char *option, const char *what)
{
    if (!fine)
        checking->host->conf_error(checking->setup, option, NULL, "%s", what);
}

static void check_names(const struct checking *checking)
{
    const struct options *options = checking->options;
    const struct forward_option *forward = options->forward.first;
    const struct sluice_span *scopes = options->rules.scopes.first;

    want(checking, options->field.len + options->cookie.len + options->query.len > 0, "field",
         "there is no place where a token may be: give field, cookie or query");
    want(checking, options->field.len == 0 || span_is_token(options->field), "field",
         "this is no name of a field");
    want(checking, options->scheme.len == 0 || span_is_token(options->scheme), "scheme",
         "this is no name of a scheme");
    want(checking, options->cookie.len == 0 || span_is_token(options->cookie), "cookie",
         "this is no name of a cookie");
    want(checking, options->query.len == 0 || span_is_token(options->query), "query",
         "this is no name of a parameter");
    want(checking, span_is_quotable(options->realm), "realm",
         "a realm is ASCII without quotes and control characters");
    want(checking, options->anonymous.len == 0 || !options->is_required, "anonymous",
         "requests without a token are refused: set required: false");
    for (size_t i = 0; i < options->forward.n; i++)
        want(checking, span_is_token(forward[i].field), "forward", "this is no name of a field");
    for (size_t i = 0; i < options->rules.scopes.n; i++) {
        want(checking,
             scopes[i].len > 0 && span_is_quotable(scopes[i]) &&
                 !memchr(scopes[i].ptr, ' ', scopes[i].len),
             "scopes", "a scope is ASCII without spaces, quotes and control characters");
    }
}

/* -- answers ----------------------------------------------------------------- */

/* scope="a b" for who lacks one; empty when it would be too long. */
static void list_scopes(const struct options *options, char *text, size_t room)
{
    const struct sluice_span *scopes = options->rules.scopes.first;
    size_t len = (size_t)snprintf(text, room, ", scope=\"");

    for (size_t i = 0; i < options->rules.scopes.n; i++) {
        if (len + scopes[i].len + 3 > room) {
            text[0] = '\0';
            return;
        }
        len += (size_t)snprintf(text + len, room - len, "%s%.*s", i > 0 ? " " : "",
                                (int)scopes[i].len, scopes[i].ptr);
    }
    snprintf(text + len, room - len, "\"");
}

static struct sluice_span challenge_of(const struct checking *checking, enum refusal refusal)
{
    const struct options *options = checking->options;
    const struct refusal_rule *rule = refusal_rule(refusal);
    char scopes[CHALLENGE_MAX / 2] = "", *text;
    int len;

    if (refusal == REFUSAL_SCOPE)
        list_scopes(options, scopes, sizeof(scopes));
    text = checking->host->conf_alloc(checking->setup, CHALLENGE_MAX);
    len = snprintf(text, CHALLENGE_MAX, "Bearer realm=\"%.*s\"", (int)options->realm.len,
                   options->realm.ptr);
    if (rule->error.len > 0 && len > 0 && len < CHALLENGE_MAX) {
        len += snprintf(text + len, (size_t)(CHALLENGE_MAX - len),
                        ", error=\"%s\", error_description=\"%s\"%s", rule->error.ptr,
                        rule->description.ptr, scopes);
    }
    want(checking, len < CHALLENGE_MAX, "realm", "this is too long");
    return span_of(text);
}

/* -- the three callbacks ----------------------------------------------------- */

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    const struct checking checking = {host, setup, conf};
    struct options *options = conf;

    options->rules.any_scope = options->scopes_match != 0;
    check_keys(&checking);
    check_names(&checking);
    name_values(&checking);
    for (enum refusal refusal = REFUSAL_NONE + 1; refusal < REFUSAL_COUNT; refusal++)
        options->challenge[refusal] = challenge_of(&checking, refusal);
}

bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    static const char *const by_result[] = {"result", NULL}, *const by_reason[] = {"reason", NULL};
    struct sluice_metric_spec spec = {.size = sizeof(spec),
                                      .kind = SLUICE_COUNTER,
                                      .name = "tokens_total",
                                      .help = "Requests by what came of their token.",
                                      .labels = by_result};
    struct options *options = conf;

    options->tokens = host->metric(setup, &spec);
    spec.name = "refusals_total";
    spec.help = "Requests refused, by reason.";
    spec.labels = by_reason;
    options->refusals = host->metric(setup, &spec);
    return !options->jwks.target || jwks_share(host, setup, &options->jwks);
}

void options_fini(const struct sluice_host *host, void *conf)
{
    struct options *options = conf;

    (void)host;
    keyset_free(&options->fixed_keys);
}
