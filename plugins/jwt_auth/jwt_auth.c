/*
 * jwt_auth - let a request through when it carries a JSON Web Token that is to be believed.
 *
 * The story of a request: find its token; look whether it was seen before; else read it, find its
 * key (or wait for one), verify, check the claims, and remember what came of it. Then either answer
 * (RFC 6750), or tell the gateway and the upstream who this is.
 */
#include "cache.h"
#include "claims.h"
#include "digest.h"
#include "grant.h"
#include "jwks.h"
#include "kit/span.h"
#include "options.h"
#include "recent.h"
#include "refusal.h"
#include "source.h"
#include "token.h"

#include <openssl/rand.h>

#include <stdio.h>

#define REFUSALS_KEPT 1024 /* garbage pushes out garbage, never a token that is good */

struct worker {
    struct jwks *jwks;     /* owned; NULL: keys are fixed */
    struct cache *grants;  /* owned */
    struct cache *refused; /* owned */
    struct recent *recent; /* owned */
    struct digest_key secret;
};

/* One exchange. */
struct seen {
    bool has_waited; /* for keys: it does so once */
};

/* What verifying came to. */
enum outcome { OUTCOME_GRANTED, OUTCOME_REFUSED, OUTCOME_WAIT, OUTCOME_NO_KEYS };

struct judgement {
    enum outcome outcome;
    enum refusal refusal;
    struct grant *grant; /* owned */
    uint64_t until_us;
};

static struct cache_answer answer_none(enum refusal refusal)
{
    return (struct cache_answer){NULL, refusal};
}

/* -- looking at a token that is new ------------------------------------------ */

static enum refusal check_claims(const struct sluice_call *call, struct token *token,
                                 struct judgement *judgement)
{
    const struct options *options = call->conf;
    enum refusal refusal = token_claims(token);

    if (refusal == REFUSAL_NONE && options->types.n > 0 &&
        !token_is_type(token, options->types.first, options->types.n))
        refusal = REFUSAL_TYPE;
    if (refusal == REFUSAL_NONE) {
        refusal = claims_check(&options->rules, token->claims, call->host->wall_us(call),
                               &judgement->until_us);
    }
    return refusal;
}

/* No key fits: keys may be on their way. */
static enum outcome without_key(const struct sluice_call *call, const struct token *token)
{
    struct worker *worker = call->worker;
    struct seen *seen = call->ctx;

    if (!worker->jwks)
        return OUTCOME_REFUSED;
    if (!seen->has_waited && jwks_wait(call, worker->jwks, token->alg, token->kid)) {
        seen->has_waited = true;
        return OUTCOME_WAIT;
    }
    return jwks_keys(worker->jwks) ? OUTCOME_REFUSED : OUTCOME_NO_KEYS;
}

static struct judgement judge(const struct sluice_call *call, struct sluice_span text)
{
    const struct options *options = call->conf;
    const struct worker *worker = call->worker;
    const struct keyset *const sets[] = {options->fixed_keys, jwks_keys(worker->jwks)};
    struct judgement judgement = {.outcome = OUTCOME_REFUSED, .until_us = UINT64_MAX};
    struct token token;

    judgement.refusal = token_read(&token, text, options->algs);
    if (judgement.refusal == REFUSAL_NONE)
        judgement.refusal = token_verify(&token, sets, 2);
    if (judgement.refusal == REFUSAL_KEY)
        judgement.outcome = without_key(call, &token);
    if (judgement.refusal == REFUSAL_NONE)
        judgement.refusal = check_claims(call, &token, &judgement);
    if (judgement.refusal == REFUSAL_NONE) {
        judgement.grant = grant_new(token.claims, options->value_names, options->n_values);
        judgement.outcome = judgement.grant ? OUTCOME_GRANTED : OUTCOME_NO_KEYS;
    }
    token_fini(&token);
    return judgement;
}

/* -- answers ----------------------------------------------------------------- */

static void count(const struct sluice_call *call, struct sluice_metric *metric,
                  struct sluice_span label)
{
    call->host->metric_add(call, metric, &label, 1);
}

static enum sluice_verdict refuse(const struct sluice_call *call, enum refusal refusal)
{
    const struct options *options = call->conf;
    const struct refusal_rule *rule = refusal_rule(refusal);
    const struct sluice_pair fields[] = {
        {SLUICE_SPAN("WWW-Authenticate"), options->challenge[refusal]},
        {SLUICE_SPAN("Cache-Control"), SLUICE_SPAN("no-store")}};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = rule->status,
                                       .reason = rule->word,
                                       .fields = fields,
                                       .n_fields = 2};

    count(call, options->refusals, rule->word);
    call->host->note(call, rule->word);
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

static enum sluice_verdict fail(const struct sluice_call *call, struct sluice_span word)
{
    call->host->note(call, word);
    return SLUICE_FAIL;
}

/* -- what a good token brings ------------------------------------------------ */

static bool set_attributes(const struct sluice_call *call, const struct grant *grant)
{
    const struct options *options = call->conf;
    size_t n = VALUE_FIRST_OWN + options->attributes.n;
    struct sluice_span value;

    for (size_t i = 0; i < n; i++) {
        if (grant_value(grant, i, &value) &&
            !call->host->attribute_set(call, options->attribute_ids[i], value))
            return false;
    }
    return true;
}

static bool set_fields(const struct sluice_call *call, const struct grant *grant)
{
    const struct options *options = call->conf;
    const struct forward_option *forward = options->forward.first;
    size_t first = VALUE_FIRST_OWN + options->attributes.n;
    struct sluice_span value;

    for (size_t i = 0; i < options->forward.n; i++) {
        if (grant_value(grant, first + i, &value) &&
            !call->host->field_set(call, SLUICE_REQUEST, forward[i].field, value))
            return false;
    }
    return true;
}

static enum sluice_verdict let_in(const struct sluice_call *call, const struct grant *grant)
{
    if (source_strip(call, call->conf) && source_clear(call, call->conf) &&
        set_attributes(call, grant) && set_fields(call, grant))
        return SLUICE_NEXT;
    return fail(call, SLUICE_SPAN("jwt_no_room"));
}

static enum sluice_verdict without_token(const struct sluice_call *call)
{
    const struct options *options = call->conf;

    if (options->is_required)
        return refuse(call, REFUSAL_MISSING);
    count(call, options->tokens, SLUICE_SPAN("none"));
    if (!source_clear(call, options))
        return fail(call, SLUICE_SPAN("jwt_no_room"));
    if (options->anonymous.len > 0 &&
        !call->host->attribute_set(call, options->attribute_ids[VALUE_CONSUMER],
                                   options->anonymous))
        return fail(call, SLUICE_SPAN("jwt_no_room"));
    return SLUICE_NEXT;
}

/* -- the request ------------------------------------------------------------- */

static enum sluice_verdict answer(const struct sluice_call *call, struct cache_answer known,
                                  struct sluice_span how)
{
    const struct options *options = call->conf;

    if (known.refusal != REFUSAL_NONE) {
        count(call, options->tokens, SLUICE_SPAN("refused"));
        return refuse(call, known.refusal);
    }
    count(call, options->tokens, how);
    return let_in(call, known.grant);
}

/* Not remembered: a token whose key is not known may be good in a moment. */
static void remember_refusal(const struct sluice_call *call, struct digest digest,
                             enum refusal refusal)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    struct grant *none = NULL;

    if (options->cache_refusals_ms > 0 && refusal != REFUSAL_KEY && refusal != REFUSAL_EARLY) {
        (void)cache_put(worker->refused, digest, refusal, &none,
                        call->host->wall_us(call) + options->cache_refusals_ms * 1000);
    }
}

static enum sluice_verdict on_new(const struct sluice_call *call, struct sluice_span text,
                                  struct digest digest)
{
    struct worker *worker = call->worker;
    struct judgement judgement = judge(call, text);
    struct cache_answer known = answer_none(judgement.refusal);
    enum sluice_verdict verdict;

    switch (judgement.outcome) {
    case OUTCOME_WAIT:
        return SLUICE_WAIT;
    case OUTCOME_NO_KEYS:
        return fail(call, SLUICE_SPAN("jwt_no_keys"));
    case OUTCOME_REFUSED:
        remember_refusal(call, digest, judgement.refusal);
        return answer(call, known, SLUICE_SPAN("refused"));
    case OUTCOME_GRANTED:
        break;
    }
    known.grant =
        cache_put(worker->grants, digest, REFUSAL_NONE, &judgement.grant, judgement.until_us);
    if (!known.grant)
        known.grant = judgement.grant; /* nothing is kept: it is ours to free */
    verdict = answer(call, known, SLUICE_SPAN("verified"));
    grant_free(&judgement.grant);
    return verdict;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    struct cache_answer known;
    struct sluice_span text;
    struct digest digest;
    uint64_t now_us;
    bool is_recent;
    enum refusal refusal = source_find(call, options, &text);

    if (refusal == REFUSAL_MISSING)
        return without_token(call);
    if (refusal == REFUSAL_NONE && text.len > options->max_token)
        refusal = REFUSAL_TOO_LONG;
    if (refusal != REFUSAL_NONE)
        return answer(call, answer_none(refusal), SLUICE_SPAN("refused"));
    is_recent = recent_find(worker->recent, text, &digest);
    if (!is_recent)
        digest = digest_of(&worker->secret, text);
    now_us = call->host->wall_us(call);
    if (cache_find(worker->grants, digest, now_us, &known)) {
        if (!is_recent)
            recent_put(worker->recent, text, digest);
        return answer(call, known, SLUICE_SPAN("cached"));
    }
    if (cache_find(worker->refused, digest, now_us, &known))
        return answer(call, known, SLUICE_SPAN("cached"));
    return on_new(call, text, digest);
}

/* The wait for keys is over, whatever it brought: look at the request again. */
static enum sluice_verdict on_woken(const struct sluice_call *call, void *arg)
{
    (void)arg;
    return on_request_head(call);
}

/* -- workers ----------------------------------------------------------------- */

static void on_keys_changed(const struct sluice_call *call)
{
    struct worker *worker = call->worker;

    cache_clear(worker->grants);
    cache_clear(worker->refused);
}

static bool worker_start(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;

    if (RAND_bytes((unsigned char *)&worker->secret, sizeof(worker->secret)) != 1)
        return false;
    worker->grants = cache_new(options->cache_tokens);
    worker->refused = cache_new(options->cache_refusals_ms > 0 ? REFUSALS_KEPT : 0);
    worker->recent = recent_new(&worker->secret);
    if (!worker->grants || !worker->refused || !worker->recent)
        return false;
    if (!options->jwks.target)
        return true;
    worker->jwks = jwks_start(call, &options->jwks, on_keys_changed, on_woken);
    return worker->jwks != NULL;
}

static void worker_stop(const struct sluice_call *call)
{
    struct worker *worker = call->worker;

    jwks_stop(call, &worker->jwks);
    recent_free(&worker->recent);
    cache_free(&worker->grants);
    cache_free(&worker->refused);
}

static void on_report(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    const struct worker *worker = call->worker;
    const struct keyset *fetched = jwks_keys(worker->jwks);
    char text[160];
    int len;

    len = snprintf(
        text, sizeof(text),
        "{\"keys\":%zu,\"cached_tokens\":%zu,\"cached_refusals\":%zu,\"key_age_s\":%lld}",
        keyset_size(options->fixed_keys) + keyset_size(fetched), cache_used(worker->grants),
        cache_used(worker->refused),
        fetched ? (long long)((call->host->now_us(call) - jwks_fetched_us(worker->jwks)) / 1000000)
                : -1LL);
    call->host->report(call, (struct sluice_span){text, (size_t)len});
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "jwt_auth",
    .version = "1.0.0",
    .summary = "Lets requests with a valid JSON Web Token through.",
    .options = options_table,
    .conf_size = sizeof(struct options),
    .worker_size = sizeof(struct worker),
    .ctx_size = sizeof(struct seen),
    .conf_check = options_check,
    .conf_start = options_start,
    .conf_fini = options_fini,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_report = on_report,
};
