/*
 * rate_fields.c - the fields that tell a client where it stands.
 */
#include "rate.h"

#include <stdio.h>

enum { NUMBER_TEXT = 24, FIELD_TEXT = 512 };

static uint64_t seconds(uint64_t ns)
{
    return (ns + 999999999) / 1000000000;
}

static void add(const struct sluice_call *call, struct sluice_span name, const char *text, int len)
{
    if (len > 0 && len < FIELD_TEXT)
        call->host->field_set(call, SLUICE_RESPONSE, name, (struct sluice_span){text, (size_t)len});
}

static uint64_t quota(const struct rate_limit *limit)
{
    if (limit->algorithm == RATE_CONCURRENCY)
        return limit->concurrent;
    return limit->algorithm == RATE_GCRA ? limit->bucket.burst : limit->rate.amount;
}

void rate_tell(const struct sluice_call *call)
{
    const struct rate_conf *conf = call->conf;
    const struct rate_ctx *ctx = call->ctx;
    const struct rate_limit *limit;
    const struct limit_answer *answer;
    char text[FIELD_TEXT];
    int len;

    if (!ctx->hit || ctx->tightest < 0 || conf->fields == RATE_FIELDS_OFF)
        return;
    limit = &conf->limit[ctx->tightest];
    answer = &ctx->hit[ctx->tightest].answer;
    if (conf->fields == RATE_FIELDS_STANDARD) {
        call->host->field_set(call, SLUICE_RESPONSE, SLUICE_SPAN("ratelimit-policy"),
                              limit->policy);
        len = snprintf(text, sizeof(text), "\"%.*s\";r=%llu;t=%llu", (int)limit->name.len,
                       limit->name.ptr, (unsigned long long)answer->remaining,
                       (unsigned long long)seconds(answer->reset_ns));
        add(call, SLUICE_SPAN("ratelimit"), text, len);
        return;
    }
    len = snprintf(text, sizeof(text), "%llu", (unsigned long long)quota(limit));
    add(call, SLUICE_SPAN("x-ratelimit-limit"), text, len);
    len = snprintf(text, sizeof(text), "%llu", (unsigned long long)answer->remaining);
    add(call, SLUICE_SPAN("x-ratelimit-remaining"), text, len);
    len = snprintf(text, sizeof(text), "%llu", (unsigned long long)seconds(answer->reset_ns));
    add(call, SLUICE_SPAN("x-ratelimit-reset"), text, len);
}
