/*
 * rate_redis.c - limits that several gateways share: one script call a decision.
 *
 * The script looks at all limits of a request first and takes only when all of them pass, so a
 * request that is refused costs nothing anywhere. It uses the clock of Redis, so the
 * clocks of the gateways do not matter.
 */
#include "rate.h"

#include <stdio.h>
#include <string.h>

enum {
    ARGS = 5, /* of a limit */
    VALUES = 4,
    NUMBER_TEXT = 24,
    HEAD = 3, /* EVALSHA, digest, number of keys */
    COMMAND_MAX = HEAD + RATE_LIMITS_MAX * (1 + ARGS),
};

/*
 * KEYS: one a limit. ARGV: five a limit: kind (b: bucket, w: window), interval in us (b) or window
 * in us (w), burst (b) or amount (w), wanted, needed. Answers four a limit: granted, remaining, us
 * until all is there again, us until what was needed would be granted (0: it was).
 */
static const char script[] =
    "local t=redis.call('TIME') local now=t[1]*1000000+t[2] local out,set,ok={},{},true "
    "for i,key in ipairs(KEYS) do local a=(i-1)*5 "
    "local kind,unit,size=ARGV[a+1],tonumber(ARGV[a+2]),tonumber(ARGV[a+3]) "
    "local want,need=tonumber(ARGV[a+4]),tonumber(ARGV[a+5]) local "
    "free,got,left,reset,retry=0,0,0,0,0 "
    "if kind=='b' then "
    "local at=math.max(tonumber(redis.call('GET',key) or '0'),now) "
    "free=math.floor((now+size*unit-at)/unit+0.000001) got=math.max(0,math.min(want,free)) "
    "if got<need then got=0 ok=false retry=math.max(1,at+need*unit-now-size*unit) end "
    "at=at+got*unit reset=at-now left=math.max(0,free-got) "
    "if got>0 then set[i]={'b',string.format('%.3f',at),math.ceil(reset/1000)+1} end "
    "else local w=math.floor(now/unit) local v=redis.call('HMGET',key,'w','n','p') "
    "local cw,n,p=tonumber(v[1] or '-9'),tonumber(v[2] or '0'),tonumber(v[3] or '0') "
    "if cw==w-1 then p=n n=0 elseif cw~=w then p=0 n=0 end "
    "local into=now-w*unit local used=p*(unit-into)/unit+n "
    "free=math.floor(size-used) got=math.max(0,math.min(want,free)) reset=unit-into "
    "if got<need then got=0 ok=false retry=reset "
    "if p>0 and n+need<=size then retry=math.max(1,(used+need-size)/p*unit) end end "
    "left=math.max(0,free-got) "
    "if got>0 then set[i]={'w',w,n+got,p,math.ceil(2*unit/1000)} end end "
    "out[a+1-(i-1)]=got out[a+2-(i-1)]=left out[a+3-(i-1)]=math.ceil(reset) "
    "out[a+4-(i-1)]=math.ceil(retry) end "
    "if ok then for i,s in pairs(set) do "
    "if s[1]=='b' then redis.call('SET',KEYS[i],s[2],'PX',s[3]) "
    "else redis.call('HSET',KEYS[i],'w',s[2],'n',s[3],'p',s[4]) redis.call('PEXPIRE',KEYS[i],s[5]) "
    "end end end return out";

/* SHA-1 of the script, as EVALSHA wants it; a test compares it with what Redis computes. */
#define SCRIPT_SHA "ff1272ac85fb0fe2a47bc33f2066e03bd80f4746"

/* A command being put together. */
struct command {
    struct sluice_span argv[COMMAND_MAX];
    char number[RATE_LIMITS_MAX + 1][3][NUMBER_TEXT];
    char need[RATE_LIMITS_MAX][NUMBER_TEXT];
    size_t n;
};

static void add(struct command *command, struct sluice_span text)
{
    command->argv[command->n++] = text;
}

static void add_number(struct command *command, char *text, double value)
{
    int len = snprintf(text, NUMBER_TEXT, "%.3f", value);

    add(command, (struct sluice_span){text, (size_t)len});
}

static void begin(struct command *command, bool whole, size_t n_keys)
{
    char *text = command->number[RATE_LIMITS_MAX][0];
    int len = snprintf(text, NUMBER_TEXT, "%zu", n_keys);

    command->n = 0;
    add(command, whole ? SLUICE_SPAN("EVAL") : SLUICE_SPAN("EVALSHA"));
    add(command,
        whole ? (struct sluice_span){script, sizeof(script) - 1} : SLUICE_SPAN(SCRIPT_SHA));
    add(command, (struct sluice_span){text, (size_t)len});
}

static void add_limit(struct command *command, const struct rate_limit *limit, size_t i,
                      uint64_t want)
{
    bool is_bucket = limit->algorithm == RATE_GCRA;
    double period_us = (double)limit->rate.period_ms * 1000;

    add(command, is_bucket ? SLUICE_SPAN("b") : SLUICE_SPAN("w"));
    add_number(command, command->number[i][0],
               is_bucket ? period_us / (double)limit->rate.amount : period_us);
    add_number(command, command->number[i][1],
               (double)(is_bucket ? limit->bucket.burst : limit->rate.amount));
    add_number(command, command->number[i][2], (double)want);
    add_number(command, command->need[i], (double)limit->cost);
}

/* -- failures ------------------------------------------------------------------ */

static void tell(const struct sluice_call *call, struct sluice_span result)
{
    const struct rate_conf *conf = call->conf;

    call->host->metric_add(call, conf->redis, &result, 1);
}

static bool is_unknown_script(const struct sluice_redis_reply *reply)
{
    return reply->kind == SLUICE_REDIS_ERROR && reply->text.len >= 8 &&
           memcmp(reply->text.ptr, "NOSCRIPT", 8) == 0;
}

/* Leave a Redis that does not answer alone for a while: each request would wait for it. */
static void note_failure(const struct sluice_call *call, const struct sluice_redis_reply *reply)
{
    const struct rate_conf *conf = call->conf;
    struct rate_worker *worker = call->worker;
    const struct sluice_pair pairs[] = {{SLUICE_SPAN("cause"), reply->text}};
    uint64_t now = call->host->now_us(call);

    if (reply->kind == SLUICE_REDIS_TIMEOUT) {
        tell(call, SLUICE_SPAN("timeout"));
    } else if (reply->kind == SLUICE_REDIS_UNREACHABLE) {
        tell(call, SLUICE_SPAN("unreachable"));
    } else {
        tell(call, SLUICE_SPAN("error"));
    }
    if (now < worker->redis_again_us)
        return;
    worker->redis_again_us = now + conf->pause_ms * 1000;
    if (worker->is_alone)
        return;
    worker->is_alone = true;
    call->host->log(call, SLUICE_LOG_WARN, "redis does not limit, this gateway does by itself",
                    pairs, reply->text.len > 0 ? 1 : 0);
}

/* It has answered, whatever it said. */
static void note_answer(const struct sluice_call *call, struct sluice_span result)
{
    struct rate_worker *worker = call->worker;

    tell(call, result);
    if (worker->is_alone)
        call->host->log(call, SLUICE_LOG_INFO, "redis limits again", NULL, 0);
    worker->is_alone = false;
}

static bool numbers(const struct sluice_redis_reply *reply, size_t n, uint64_t *values)
{
    if (reply->kind != SLUICE_REDIS_LIST || reply->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct sluice_redis_reply *element = sluice_redis_at(reply, i);

        if (!element || element->kind != SLUICE_REDIS_INTEGER || element->integer < 0)
            return false;
        values[i] = (uint64_t)element->integer;
    }
    return true;
}

/* -- one decision ------------------------------------------------------------------ */

static sluice_redis_fn on_reply;

static uint64_t wanted(const struct rate_conf *conf, const struct rate_limit *limit)
{
    return conf->store == RATE_HYBRID && limit->lease > limit->cost ? limit->lease : limit->cost;
}

static bool ask(const struct sluice_call *call, bool whole)
{
    const struct rate_conf *conf = call->conf;
    const struct rate_ctx *ctx = call->ctx;
    struct command command;
    size_t n_keys = 0;

    for (size_t i = 0; i < conf->n_limits; i++) {
        n_keys += ctx->hit[i].is_remote;
    }
    begin(&command, whole, n_keys);
    for (size_t i = 0; i < conf->n_limits; i++) {
        if (ctx->hit[i].is_remote)
            add(&command, ctx->hit[i].key);
    }
    for (size_t i = 0; i < conf->n_limits; i++) {
        if (ctx->hit[i].is_remote)
            add_limit(&command, &conf->limit[i], i, wanted(conf, &conf->limit[i]));
    }
    return call->host->redis_call(call, command.argv, command.n, (uint32_t)conf->redis_ms, on_reply,
                                  NULL) != 0;
}

static void take_answer(const struct sluice_call *call, const struct rate_limit *limit,
                        struct rate_hit *hit, const uint64_t *value, bool all_passed)
{
    const struct rate_conf *conf = call->conf;
    bool passed = value[0] >= limit->cost;

    hit->answer = (struct limit_answer){.passed = passed,
                                        .remaining = value[1],
                                        .reset_ns = value[2] * 1000,
                                        .retry_ns = passed ? 0 : value[3] * 1000};
    if (conf->store != RATE_HYBRID)
        return;
    if (!passed) {
        rate_pause(call, hit->key, RATE_DRY, value[3] / 1000 + 1);
    } else if (all_passed) {
        rate_add_leased(call, hit->key, value[0] - limit->cost);
        hit->answer.remaining += value[0] - limit->cost;
    }
}

static enum sluice_verdict on_reply(const struct sluice_call *call,
                                    const struct sluice_redis_reply *reply, void *arg)
{
    const struct rate_conf *conf = call->conf;
    struct rate_ctx *ctx = call->ctx;
    uint64_t values[RATE_LIMITS_MAX * VALUES], *value = values;
    size_t n = 0;
    bool all_passed = true;

    (void)arg;
    if (is_unknown_script(reply) && ask(call, true))
        return SLUICE_WAIT;
    for (size_t i = 0; i < conf->n_limits; i++) {
        n += ctx->hit[i].is_remote ? VALUES : 0;
    }
    if (!numbers(reply, n, values)) {
        note_failure(call, reply);
        return ctx->asked(call, false);
    }
    note_answer(call, SLUICE_SPAN("answered"));
    for (size_t i = 0, at = 0; i < conf->n_limits; i++) {
        if (ctx->hit[i].is_remote) {
            all_passed &= values[at] >= conf->limit[i].cost;
            at += VALUES;
        }
    }
    for (size_t i = 0; i < conf->n_limits; i++) {
        if (!ctx->hit[i].is_remote)
            continue;
        take_answer(call, &conf->limit[i], &ctx->hit[i], value, all_passed);
        value += VALUES;
    }
    return ctx->asked(call, true);
}

bool rate_ask(const struct sluice_call *call, rate_asked_fn *asked)
{
    const struct rate_worker *worker = call->worker;
    struct rate_ctx *ctx = call->ctx;

    if (call->host->now_us(call) < worker->redis_again_us)
        return false;
    ctx->asked = asked;
    return ask(call, false);
}

/* -- leases in the background ------------------------------------------------------ */

static enum sluice_verdict on_refilled(const struct sluice_call *call,
                                       const struct sluice_redis_reply *reply, void *arg)
{
    const struct rate_conf *conf = call->conf;
    struct rate_refill *refill = arg;
    const struct rate_limit *limit = refill->limit;
    struct sluice_span key = {refill->key, refill->key_len};
    uint64_t value[VALUES];

    refill->limit = NULL;
    if (!numbers(reply, VALUES, value)) {
        if (!is_unknown_script(reply))
            note_failure(call, reply);
        return SLUICE_NEXT;
    }
    note_answer(call, SLUICE_SPAN("refilled"));
    if (value[0] < limit->lease)
        rate_pause(call, key, RATE_NO_REFILL, conf->lease_ms / 4);
    rate_add_leased(call, key, value[0]);
    return SLUICE_NEXT;
}

static bool is_being_refilled(const struct rate_worker *worker, struct sluice_span key,
                              struct rate_refill **room)
{
    *room = NULL;
    for (size_t i = 0; i < RATE_REFILLS; i++) {
        struct rate_refill *refill = &worker->refills[i];

        if (!refill->limit) {
            *room = refill;
        } else if (refill->key_len == key.len && memcmp(refill->key, key.ptr, key.len) == 0) {
            return true;
        }
    }
    return false;
}

void rate_refill(const struct sluice_call *call, const struct rate_limit *limit,
                 struct sluice_span key)
{
    const struct rate_conf *conf = call->conf;
    struct rate_worker *worker = call->worker;
    struct rate_refill *refill;
    struct command command;

    if (!worker->refills || call->host->now_us(call) < worker->redis_again_us ||
        is_being_refilled(worker, key, &refill) || !refill)
        return;
    memcpy(refill->key, key.ptr, key.len);
    refill->key_len = key.len;
    begin(&command, false, 1);
    add(&command, key);
    add_limit(&command, limit, 0, limit->lease);
    command.argv[command.n - 1] = SLUICE_SPAN("1"); /* what is left will do */
    /* The lease is for all: it does not end with this exchange. */
    if (call->host->redis_call(call->host->worker_call(call), command.argv, command.n,
                               (uint32_t)conf->redis_ms, on_refilled, refill) != 0)
        refill->limit = limit;
}
