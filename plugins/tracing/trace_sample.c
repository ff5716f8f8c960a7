/*
 * trace_sample.c - which exchanges are traced.
 */
#include "trace.h"

enum { BUDGET_TTL_MS = 3600000, BUDGET_TRIES = 4 };

static void count(const struct sluice_call *call, struct sluice_metric *metric,
                  struct sluice_span by)
{
    call->host->metric_add(call, metric, &by, 1);
}

/*
 * One from the budget of all workers: a bucket that fills evenly, kept as the time when it will be
 * full again (GCRA). That time only grows: while a worker knows that nothing is left it does not
 * look, so that shared memory is touched about as often as something is taken.
 */
static bool take(const struct sluice_call *call, const struct trace_budget *budget,
                 uint64_t *shut_us)
{
    const struct trace_conf *conf = call->conf;
    const struct sluice_host *host = call->host;
    uint64_t now = host->now_us(call), full;

    if (now < *shut_us || budget->interval_us == UINT64_MAX)
        return false;
    full = host->words_get(conf->words, budget->key);
    for (unsigned i = 0; i < BUDGET_TRIES; i++) {
        uint64_t next = (full > now ? full : now) + budget->interval_us;

        if (next - now > budget->window_us) {
            *shut_us = next - budget->window_us;
            return false;
        }
        switch (host->words_swap(conf->words, budget->key, &full, next, BUDGET_TTL_MS)) {
        case SLUICE_SHARED_OK:
            return true;
        case SLUICE_SHARED_OTHER:
            break;
        case SLUICE_SHARED_FULL:
        case SLUICE_SHARED_ABSENT:
            return false;
        }
    }
    return false;
}

/* By the last 8 bytes of the trace id: whoever uses the same ratio decides the same. */
static bool is_below(const struct trace_conf *conf, const uint8_t trace[CONTEXT_TRACE_BYTES])
{
    uint64_t low = 0;

    for (unsigned i = 8; i < CONTEXT_TRACE_BYTES; i++)
        low = low << 8 | trace[i];
    return low >> 1 < conf->bound;
}

bool trace_decide(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    struct trace_worker *worker = call->worker;

    if (conf->sample.parent == TRACE_PARENT_FOLLOW && ctx->parent.decision != CONTEXT_UNDECIDED) {
        if (ctx->parent.decision == CONTEXT_NOT_SAMPLED)
            return false;
        count(call, conf->sampled, SLUICE_SPAN("parent"));
        return true;
    }
    if (!is_below(conf, ctx->self.trace))
        return false;
    if (conf->has_rate && !take(call, &conf->rate, &worker->rate_shut_us)) {
        count(call, conf->limited, SLUICE_SPAN("rate"));
        return false;
    }
    count(call, conf->sampled, SLUICE_SPAN("ratio"));
    return true;
}

bool trace_keeps_error(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    struct trace_worker *worker = call->worker;

    if (!take(call, &conf->errors, &worker->errors_shut_us)) {
        count(call, conf->limited, SLUICE_SPAN("errors"));
        return false;
    }
    count(call, conf->sampled, SLUICE_SPAN("errors"));
    return true;
}
