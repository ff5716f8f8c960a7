/*
 * everything.c - a plugin that uses every service of the gateway in each request, one after the
 * other, and says in the response which of them did their work.
 *
 * A thread of its own posts to each worker meanwhile, and the worker itself has a timer and calls.
 */
#include <sluice_plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct conf {
    const struct sluice_target *target, *url;
    uint64_t work;
    bool redis;
    struct sluice_words *words;
    struct sluice_map *map;
    struct sluice_metric *begun, *done, *steps, *took;
};

struct worker {
    struct sluice_door *door;
    pthread_t thread;
    bool has_thread, stop; /* atomic */
    unsigned ticks;
};

struct ctx {
    char ran[256];
    size_t n;
    uint64_t begun_us, timer;
    bool is_counted;
};

struct work {
    uint64_t n, result;
};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_TARGET,
     .name = "target",
     .offset = AT(target),
     .help = "Whom to ask, by an upstream."},
    {.kind = SLUICE_OPTION_TARGET,
     .name = "url",
     .offset = AT(url),
     .help = "Whom to ask, by URL."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "work",
     .offset = AT(work),
     .preset = "1000",
     .help = "Steps of what is offloaded."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "redis",
     .offset = AT(redis),
     .preset = "true",
     .help = "Ask Redis."},
    {.kind = SLUICE_OPTION_END},
};

/* -- notes of what ran ------------------------------------------------------- */

static void ran(const struct sluice_call *call, const char *step, const char *outcome)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    struct sluice_span labels[] = {{step, strlen(step)}, {outcome, strlen(outcome)}};
    int n;

    call->host->metric_add(call, conf->steps, labels, 1);
    if (!ctx || ctx->n + 40 > sizeof(ctx->ran))
        return;
    n = snprintf(ctx->ran + ctx->n, sizeof(ctx->ran) - ctx->n, "%s%s=%s", ctx->n ? " " : "", step,
                 outcome);
    ctx->n += (size_t)n;
}

/* -- the chain of services, last first ------------------------------------------ */

static enum sluice_verdict use_map(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    char out[8] = "";
    size_t len = 0;
    uint64_t serial = 0;

    host->map_set(conf->map, SLUICE_SPAN("key"), SLUICE_SPAN("value"), 60000);
    if (host->map_get(conf->map, SLUICE_SPAN("key"), out, sizeof(out), &len, &serial) ==
            SLUICE_SHARED_OK &&
        len == 5 && memcmp(out, "value", 5) == 0 && serial > 0)
        ran(call, "map", "ok");
    return SLUICE_NEXT;
}

static enum sluice_verdict on_redis(const struct sluice_call *call,
                                    const struct sluice_redis_reply *reply, void *arg)
{
    (void)arg;
    if (reply->kind == SLUICE_REDIS_LIST && reply->n == 2 && sluice_redis_at(reply, 1)->kind) {
        ran(call, "redis", "ok");
    } else if (reply->kind == SLUICE_REDIS_TIMEOUT) {
        ran(call, "redis", "timeout");
    } else if (reply->kind == SLUICE_REDIS_UNREACHABLE) {
        ran(call, "redis", "unreachable");
    } else {
        ran(call, "redis", "error");
    }
    return use_map(call);
}

static enum sluice_verdict use_redis(const struct sluice_call *call)
{
    static const struct sluice_span argv[] = {{"EVAL", 4},
                                              {"return {redis.call('INCR', KEYS[1]), ARGV[1]}", 45},
                                              {"1", 1},
                                              {"everything", 10},
                                              {"x", 1}};
    const struct conf *conf = call->conf;

    if (conf->redis && call->host->redis_call(call, argv, 5, 500, on_redis, NULL) > 0)
        return SLUICE_WAIT;
    ran(call, "redis", "refused");
    return use_map(call);
}

static enum sluice_verdict on_url(const struct sluice_call *call,
                                  const struct sluice_http_response *response, void *arg)
{
    (void)arg;
    ran(call, "url", response->end == SLUICE_HTTP_OK && response->status == 200 ? "ok" : "failed");
    return use_redis(call);
}

static enum sluice_verdict use_url(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct sluice_http_request request = {.size = sizeof(request), .target = conf->url};

    if (conf->url && call->host->http_call(call, &request, on_url, NULL) > 0)
        return SLUICE_WAIT;
    ran(call, "url", "refused");
    return use_redis(call);
}

static enum sluice_verdict on_http(const struct sluice_call *call,
                                   const struct sluice_http_response *response, void *arg)
{
    static const char *const ends[] = {"ok", "timeout", "unreachable", "broken", "too_large"};

    (void)arg;
    ran(call, "http", ends[response->end]);
    return use_url(call);
}

static enum sluice_verdict use_http(const struct sluice_call *call)
{
    static const struct sluice_pair fields[] = {{{"x-from", 6}, {"everything", 10}}};
    const struct conf *conf = call->conf;
    struct sluice_http_request request = {.size = sizeof(request),
                                          .method = SLUICE_SPAN("POST"),
                                          .target = conf->target,
                                          .fields = fields,
                                          .n_fields = 1,
                                          .body = SLUICE_SPAN("question")};

    if (conf->target && call->host->http_call(call, &request, on_http, NULL) > 0)
        return SLUICE_WAIT;
    ran(call, "http", "refused");
    return use_url(call);
}

static void toil(const void *conf_, void *data)
{
    const struct conf *conf = conf_;
    struct work *work = data;

    for (uint64_t i = 0; i < conf->work; i++)
        work->result += work->n * i % 7;
}

static enum sluice_verdict on_toiled(const struct sluice_call *call, void *data)
{
    const struct conf *conf = call->conf;
    struct work *work = data, again = {work->n, 0};

    toil(conf, &again);
    ran(call, "offload", again.result == work->result ? "ok" : "wrong");
    return use_http(call);
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    struct work work = {(uint64_t)(size_t)arg, 0};

    ran(call, "timer", "ok");
    if (call->host->offload(call, toil, &work, sizeof(work), on_toiled) > 0)
        return SLUICE_WAIT;
    ran(call, "offload", "refused");
    return use_http(call);
}

static enum sluice_verdict never(const struct sluice_call *call, void *arg)
{
    (void)arg;
    ran(call, "cancelled", "called");
    return SLUICE_FAIL;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    uint64_t n = 0, other;

    ctx->begun_us = host->now_us(call);
    host->metric_add(call, conf->begun, NULL, 1);
    ctx->is_counted =
        host->words_add(conf->words, SLUICE_SPAN("active"), 1, 0, &n) == SLUICE_SHARED_OK;
    if (ctx->is_counted && n > 0 && host->words_get(conf->words, SLUICE_SPAN("active")) > 0)
        ran(call, "words", "ok");
    other = host->timer(call, 1, never, NULL);
    host->cancel(call, other);
    ctx->timer = host->timer(call, 60000, never, NULL); /* ends with the exchange */
    return host->timer(call, 1, on_timer, (void *)(size_t)(n + 1)) > 0 ? SLUICE_WAIT : SLUICE_FAIL;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct ctx *ctx = call->ctx;
    struct sluice_span value = {ctx->ran, ctx->n};

    call->host->field_set(call, SLUICE_RESPONSE, SLUICE_SPAN("x-ran"), value);
    return SLUICE_NEXT;
}

static void on_done(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    uint64_t n;

    if (ctx->is_counted)
        call->host->words_add(conf->words, SLUICE_SPAN("active"), -1, 0, &n);
    call->host->metric_add(call, conf->took, NULL,
                           (double)(call->host->now_us(call) - ctx->begun_us) / 1e6);
    call->host->metric_add(call, conf->done, NULL, 1);
}

/* -- workers ------------------------------------------------------------------------ */

static void on_message(const struct sluice_call *call, void *arg)
{
    (void)arg;
    ran(call, "door", "ok");
}

static void *post(void *worker_)
{
    struct worker *worker = worker_;
    const struct sluice_host *host = *(const struct sluice_host *const *)(worker + 1);

    while (!__atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE)) {
        struct timespec nap = {0, 2000000};

        host->post(worker->door, on_message, NULL);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

static enum sluice_verdict on_own_answer(const struct sluice_call *call,
                                         const struct sluice_http_response *response, void *arg)
{
    (void)arg;
    ran(call, "own_http", response->end == SLUICE_HTTP_OK ? "ok" : "failed");
    return SLUICE_NEXT;
}

static enum sluice_verdict on_tick(const struct sluice_call *call, void *arg)
{
    const struct conf *conf = call->conf;
    struct worker *worker = call->worker;
    struct sluice_http_request request = {.size = sizeof(request), .target = conf->target};

    (void)arg;
    ran(call, "tick", "ok");
    if (conf->target && ++worker->ticks % 4 == 0)
        call->host->http_call(call, &request, on_own_answer, NULL);
    call->host->timer(call, 20, on_tick, NULL);
    return SLUICE_NEXT;
}

static bool worker_start(const struct sluice_call *call)
{
    struct worker *worker = call->worker;

    *(const struct sluice_host **)(worker + 1) = call->host;
    worker->door = call->host->door(call);
    call->host->timer(call, 20, on_tick, NULL);
    worker->has_thread = worker->door && pthread_create(&worker->thread, NULL, post, worker) == 0;
    return worker->has_thread;
}

static void worker_stop(const struct sluice_call *call)
{
    struct worker *worker = call->worker;

    __atomic_store_n(&worker->stop, true, __ATOMIC_RELEASE);
    if (worker->has_thread)
        pthread_join(worker->thread, NULL);
    if (worker->door)
        call->host->door_close(worker->door);
}

/* -- starting -------------------------------------------------------------------------- */

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"step", "outcome", NULL};
    struct sluice_metric_spec begun = {.size = sizeof(begun), .name = "begun", .help = "Requests."};
    struct sluice_metric_spec done = {.size = sizeof(done), .name = "done", .help = "Ends."};
    struct sluice_metric_spec steps = {.size = sizeof(steps),
                                       .name = "steps",
                                       .help = "What ran.",
                                       .labels = labels,
                                       .max_series = 50};
    struct sluice_metric_spec took = {.size = sizeof(took),
                                      .name = "took_seconds",
                                      .kind = SLUICE_HISTOGRAM,
                                      .help = "How long it took."};
    struct sluice_shared_spec words = {.size = sizeof(words), .name = "counts", .capacity = 100};
    struct sluice_shared_spec map = {
        .size = sizeof(map), .name = "values", .capacity = 100, .max_value = 64};
    struct conf *conf = conf_;

    conf->begun = host->metric(setup, &begun);
    conf->done = host->metric(setup, &done);
    conf->steps = host->metric(setup, &steps);
    conf->took = host->metric(setup, &took);
    conf->words = host->words(setup, &words);
    conf->map = host->map(setup, &map);
    return conf->begun && conf->done && conf->steps && conf->took && conf->words && conf->map;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "everything",
    .version = "1.0.0",
    .summary = "Uses every service.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .worker_size = sizeof(struct worker) + sizeof(const struct sluice_host *),
    .ctx_size = sizeof(struct ctx),
    .conf_start = conf_start,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_response_head = on_response_head,
    .on_done = on_done,
};
