/*
 * rate_limit - how many requests, from whom, in what time.
 *
 * Every limit of a place is asked, and a request passes when all let it pass. Limits are kept
 * here, by all workers together (rate_local.c), or in Redis by several gateways (rate_redis.c);
 * hybrid takes leases from Redis and gives away what was leased without asking. Without Redis the
 * gateway goes on by itself.
 */
#include "rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- the end of a decision --------------------------------------------------- */

static void count(const struct sluice_call *call, const struct rate_limit *limit,
                  struct sluice_span result)
{
    const struct rate_conf *conf = call->conf;
    const struct sluice_span labels[] = {limit->name, result};

    call->host->metric_add(call, conf->requests, labels, 1);
}

static enum sluice_verdict refuse(const struct sluice_call *call, size_t index)
{
    const struct rate_conf *conf = call->conf;
    const struct limit_answer *answer = &((struct rate_ctx *)call->ctx)->hit[index].answer;
    char seconds[24];
    int len = snprintf(seconds, sizeof(seconds), "%llu",
                       (unsigned long long)((answer->retry_ns + 999999999) / 1000000000));
    struct rate_fields_text text;
    struct sluice_reply reply = {.size = sizeof(reply),
                                 .status = (uint32_t)conf->status,
                                 .reason = SLUICE_SPAN("rate_limited"),
                                 .content_type = conf->content_type,
                                 .body = conf->body,
                                 .fields = text.field};

    rate_tell(call, &text);
    if (answer->retry_ns > 0) {
        text.field[text.n++] =
            (struct sluice_pair){SLUICE_SPAN("retry-after"), {seconds, (size_t)len}};
    }
    reply.n_fields = text.n;
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

/* The limit that refuses, or n_limits; counts all of them and finds the tightest. */
static size_t look(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    size_t refused = conf->n_limits;

    ctx->tightest = -1;
    for (size_t i = 0; i < conf->n_limits; i++) {
        const struct rate_hit *hit = &ctx->hit[i];
        bool is_dry = conf->dry_run || conf->limit[i].dry_run;

        if (hit->key.len == 0)
            continue;
        if (ctx->tightest < 0 || hit->answer.remaining < ctx->hit[ctx->tightest].answer.remaining)
            ctx->tightest = (int)i;
        if (hit->answer.passed) {
            count(call, &conf->limit[i], SLUICE_SPAN("passed"));
        } else if (is_dry) {
            count(call, &conf->limit[i], SLUICE_SPAN("would_refuse"));
            call->host->note(call, SLUICE_SPAN("rate_would_refuse"));
        } else {
            count(call, &conf->limit[i], SLUICE_SPAN("refused"));
            refused = i;
        }
    }
    return refused;
}

static enum sluice_verdict decide(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    size_t refused = look(call);

    if (refused == conf->n_limits)
        return SLUICE_NEXT;
    for (size_t i = 0; i < conf->n_limits; i++) {
        rate_give_back(call, &conf->limit[i], &ctx->hit[i]);
    }
    ctx->tightest = (int)refused;
    return refuse(call, refused);
}

/* -- without Redis ------------------------------------------------------------- */

static enum sluice_verdict decide_alone(const struct sluice_call *call)
{
    static const struct sluice_reply unable = {.size = sizeof(unable),
                                               .status = 503,
                                               .reason =
                                                   SLUICE_SPAN_INIT("rate_limit_unavailable")};
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;

    if (conf->failure == RATE_FAILURE_CLOSED) {
        for (size_t i = 0; i < conf->n_limits; i++) {
            rate_give_back(call, &conf->limit[i], &ctx->hit[i]);
        }
        return call->host->reply(call, &unable) ? SLUICE_REPLIED : SLUICE_FAIL;
    }
    for (size_t i = 0; i < conf->n_limits; i++) {
        struct rate_hit *hit = &ctx->hit[i];

        if (!hit->is_remote)
            continue;
        if (conf->failure == RATE_FAILURE_LOCAL) {
            rate_take(call, &conf->limit[i], hit);
        } else {
            hit->answer = (struct limit_answer){.passed = true};
        }
    }
    return decide(call);
}

static enum sluice_verdict on_asked(const struct sluice_call *call, bool is_answered)
{
    return is_answered ? decide(call) : decide_alone(call);
}

/* -- phases ----------------------------------------------------------------------- */

/* Is it decided elsewhere? What is at once here is known here only. */
static bool is_remote(const struct rate_conf *conf, const struct rate_limit *limit)
{
    return conf->store != RATE_LOCAL && limit->algorithm != RATE_CONCURRENCY;
}

/* How many have to be asked of Redis; all others are decided. */
static size_t begin(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    size_t n_remote = 0;

    for (size_t i = 0; i < conf->n_limits; i++) {
        const struct rate_limit *limit = &conf->limit[i];
        struct rate_hit *hit = &ctx->hit[i];

        if (hit->key.len == 0)
            continue;
        if (!is_remote(conf, limit)) {
            rate_take(call, limit, hit);
        } else if (conf->store != RATE_HYBRID || !rate_take_leased(call, limit, hit)) {
            hit->is_remote = true;
            hit->answer.passed = true; /* until Redis says otherwise */
            n_remote++;
        }
    }
    return n_remote;
}

/* A limit of our own refuses: Redis need not be asked about the others. */
static bool is_refused_already(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    bool is_refused = false;

    for (size_t i = 0; i < conf->n_limits; i++) {
        if (ctx->hit[i].key.len > 0 && !ctx->hit[i].answer.passed && !conf->dry_run &&
            !conf->limit[i].dry_run)
            is_refused = true;
    }
    for (size_t i = 0; is_refused && i < conf->n_limits; i++) {
        if (ctx->hit[i].is_remote)
            ctx->hit[i].key.len = 0;
    }
    return is_refused;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    static const struct sluice_reply unknown = {
        .size = sizeof(unknown), .status = 403, .reason = SLUICE_SPAN_INIT("rate_key_missing")};
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    size_t bytes = conf->n_limits * sizeof(*ctx->hit);

    ctx->hit = call->host->alloc(call, bytes);
    if (!ctx->hit)
        return SLUICE_FAIL;
    memset(ctx->hit, 0, bytes);
    ctx->tightest = -1;
    if (!conf->has_slots)
        call->host->detach(call, 1u << SLUICE_PHASE_DONE);
    for (size_t i = 0; i < conf->n_limits; i++) {
        if (!rate_key(call, &conf->limit[i], &ctx->hit[i].key))
            return call->host->reply(call, &unknown) ? SLUICE_REPLIED : SLUICE_FAIL;
    }
    if (begin(call) == 0 || is_refused_already(call))
        return decide(call);
    return rate_ask(call, on_asked) ? SLUICE_WAIT : decide_alone(call);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    struct rate_fields_text text;

    rate_tell(call, &text);
    for (size_t i = 0; i < text.n; i++) {
        call->host->field_set(call, SLUICE_RESPONSE, text.field[i].name, text.field[i].value);
    }
    return SLUICE_NEXT;
}

static void on_done(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;

    for (size_t i = 0; ctx->hit && i < conf->n_limits; i++) {
        if (conf->limit[i].algorithm == RATE_CONCURRENCY)
            rate_give_back(call, &conf->limit[i], &ctx->hit[i]);
    }
}

static bool worker_start(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    struct rate_worker *worker = call->worker;

    if (conf->store != RATE_HYBRID)
        return true;
    worker->refills = calloc(RATE_REFILLS, sizeof(*worker->refills));
    return worker->refills != NULL;
}

static void worker_stop(const struct sluice_call *call)
{
    struct rate_worker *worker = call->worker;

    free(worker->refills);
    worker->refills = NULL;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "rate_limit",
    .version = "1.0.0",
    .summary =
        "Limits requests by rate, window or number at once; by itself or with other gateways.",
    .options = rate_options,
    .conf_size = sizeof(struct rate_conf),
    .worker_size = sizeof(struct rate_worker),
    .ctx_size = sizeof(struct rate_ctx),
    .conf_check = rate_check,
    .conf_start = rate_start,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_response_head = on_response_head,
    .on_done = on_done,
};
