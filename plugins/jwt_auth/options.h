/*
 * options.h - the options of one place, as written and as compiled.
 *
 * Threads: filled on the main thread by options_check() and options_start(), then read-only.
 */
#ifndef JWT_AUTH_OPTIONS_H
#define JWT_AUTH_OPTIONS_H

#include "claims.h"
#include "jwks.h"
#include "keyset.h"
#include "refusal.h"

enum strip { STRIP_NONE, STRIP_QUERY, STRIP_ALL };
enum encoding { ENCODING_TEXT, ENCODING_BASE64, ENCODING_BASE64URL };

/* One of `keys`. Exactly one of file, pem, jwk and secret is given. */
struct key_option {
    struct sluice_span kid;
    uint32_t alg; /* 0: all that fit, else 1 + enum alg */
    struct sluice_file file;
    struct sluice_span pem, jwk, secret;
    uint32_t encoding; /* enum encoding, of secret */
};

/* One of `forward`: a field that carries a claim. */
struct forward_option {
    struct sluice_span field, claim;
};

/* The values of a grant, in this order; those of `attributes` and `forward` follow. */
enum { VALUE_SUBJECT, VALUE_ISSUER, VALUE_CONSUMER, VALUE_GROUPS, VALUE_FIRST_OWN };

#define OPTIONS_LISTED_MAX 24 /* attributes, and forwarded claims */

struct options {
    /* as written */
    struct jwks_options jwks;
    struct sluice_file jwks_file;
    struct sluice_list keys;       /* of struct key_option */
    struct sluice_list algorithms; /* of uint32_t: enum alg */
    struct sluice_list types;      /* of struct sluice_span */
    struct claims_rules rules;
    uint32_t scopes_match; /* 0: all, 1: any */
    struct sluice_span field, scheme, cookie, query;
    uint32_t strip; /* enum strip */
    uint64_t max_token;
    bool is_required;
    struct sluice_span anonymous;
    struct sluice_span consumer_claim, groups_claim;
    struct sluice_list attributes; /* of struct sluice_span: claims */
    struct sluice_list forward;    /* of struct forward_option */
    struct sluice_span realm;
    uint64_t cache_tokens, cache_refusals_ms;

    /* as compiled */
    struct keyset *fixed_keys; /* owned: those of jwks_file and keys */
    uint32_t algs;             /* a set */
    size_t n_values;           /* of a grant */
    const struct sluice_span *value_names;
    const uint32_t *attribute_ids;               /* of the values before those of `forward` */
    uint32_t query_id, path_id;                  /* attributes of the gateway */
    struct sluice_span challenge[REFUSAL_COUNT]; /* WWW-Authenticate */
    struct sluice_metric *tokens, *refusals;
};

extern const struct sluice_option options_table[];

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
void options_fini(const struct sluice_host *host, void *conf);

#endif /* JWT_AUTH_OPTIONS_H */
