/*
 * holder.c - a plugin that waits for a service in a phase of choice, and counts what came of it.
 *
 * "begin" may be an earlier phase than "hold": the answer is then waited for later than asked for.
 */
#include <sluice_plugin.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORK_NAPS = 30000 };

enum phase { REQUEST_HEAD, REQUEST_BODY, RESPONSE_HEAD, RESPONSE_BODY };
enum service { TIMER, HTTP, REDIS, OFFLOAD };

struct conf {
    uint32_t hold, begin; /* enum phase */
    uint32_t service;     /* enum service */
    uint64_t timer_ms;
    const struct sluice_target *target;
    struct sluice_span list, gate;
    struct sluice_metric *events;
};

struct ctx {
    bool is_begun, has_come;
};

static const struct sluice_choice phases[] = {{"request_head", REQUEST_HEAD, NULL},
                                              {"request_body", REQUEST_BODY, NULL},
                                              {"response_head", RESPONSE_HEAD, NULL},
                                              {"response_body", RESPONSE_BODY, NULL},
                                              {NULL, 0, NULL}};
static const struct sluice_choice services[] = {{"timer", TIMER, NULL},
                                                {"http", HTTP, NULL},
                                                {"redis", REDIS, NULL},
                                                {"offload", OFFLOAD, NULL},
                                                {NULL, 0, NULL}};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "hold",
     .offset = AT(hold),
     .preset = "request_head",
     .choices = phases,
     .help = "Where it waits."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "begin",
     .offset = AT(begin),
     .preset = "response_body",
     .choices = phases,
     .help = "Where it asks, when that is before it waits."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "service",
     .offset = AT(service),
     .preset = "timer",
     .choices = services,
     .help = "For whom."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "timer",
     .offset = AT(timer_ms),
     .preset = "1h",
     .help = "How long, by a timer."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "gate",
     .offset = AT(gate),
     .preset = "/",
     .help = "The file that ends work on a helper by being there."},
    {.kind = SLUICE_OPTION_TARGET,
     .name = "target",
     .offset = AT(target),
     .help = "Who is asked over HTTP."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "list",
     .offset = AT(list),
     .preset = "holder",
     .help = "The list of Redis whose next element is waited for."},
    {.kind = SLUICE_OPTION_END},
};

static void count(const struct sluice_call *call, const char *event)
{
    const struct conf *conf = call->conf;
    struct sluice_span label = {event, strlen(event)};

    call->host->metric_add(call, conf->events, &label, 1);
}

static enum sluice_verdict came(const struct sluice_call *call)
{
    struct ctx *ctx = call->ctx;

    ctx->has_come = true;
    count(call, "came");
    return SLUICE_NEXT;
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    (void)arg;
    return came(call);
}

static enum sluice_verdict on_http(const struct sluice_call *call,
                                   const struct sluice_http_response *response, void *arg)
{
    (void)response, (void)arg;
    return came(call);
}

static enum sluice_verdict on_redis(const struct sluice_call *call,
                                    const struct sluice_redis_reply *reply, void *arg)
{
    (void)reply, (void)arg;
    return came(call);
}

static void work(const void *conf_, void *data)
{
    const struct conf *conf = conf_;
    const struct timespec nap = {0, 2000000};

    (void)data;
    for (unsigned i = 0; i < WORK_NAPS && access(conf->gate.ptr, F_OK) != 0; i++)
        nanosleep(&nap, NULL);
}

static enum sluice_verdict on_worked(const struct sluice_call *call, void *data)
{
    (void)data;
    return came(call);
}

static bool ask(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    const struct sluice_http_request request = {
        .size = sizeof(request), .target = conf->target, .timeout_ms = 60000};
    const struct sluice_span argv[] = {SLUICE_SPAN("BLPOP"), conf->list, SLUICE_SPAN("0")};

    switch ((enum service)conf->service) {
    case TIMER:
        return host->timer(call, (uint32_t)conf->timer_ms, on_timer, NULL) != 0;
    case HTTP:
        return host->http_call(call, &request, on_http, NULL) != 0;
    case REDIS:
        return host->redis_call(call, argv, 3, 60000, on_redis, NULL) != 0;
    case OFFLOAD:
        return host->offload(call, work, "", 1, on_worked) != 0;
    }
    return false;
}

static enum sluice_verdict pass(const struct sluice_call *call, enum phase phase)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    bool begins = phase == conf->hold || phase == conf->begin;

    if (begins && phase <= conf->hold && !ctx->is_begun) {
        ctx->is_begun = true;
        if (!ask(call))
            return SLUICE_FAIL;
        count(call, "asked");
    }
    if (phase != conf->hold || ctx->has_come)
        return SLUICE_NEXT;
    count(call, "waits");
    return SLUICE_WAIT;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    call->host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_READ, 0);
    return pass(call, REQUEST_HEAD);
}

static enum sluice_verdict on_request_body(const struct sluice_call *call, struct sluice_span part,
                                           bool last)
{
    (void)part, (void)last;
    return pass(call, REQUEST_BODY);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    call->host->body_want(call, SLUICE_RESPONSE, SLUICE_BODY_READ, 0);
    return pass(call, RESPONSE_HEAD);
}

static enum sluice_verdict on_response_body(const struct sluice_call *call, struct sluice_span part,
                                            bool last)
{
    (void)part, (void)last;
    return pass(call, RESPONSE_BODY);
}

static void on_done(const struct sluice_call *call)
{
    count(call, "done");
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"event", NULL};
    struct conf *conf = conf_;

    conf->events =
        host->metric(setup, &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                                         .name = "events_total",
                                                         .help = "What happened.",
                                                         .labels = labels});
    return conf->events != NULL;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "holder",
    .version = "1.0.0",
    .summary = "Waits, for tests.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .ctx_size = sizeof(struct ctx),
    .conf_start = conf_start,
    .on_request_head = on_request_head,
    .on_request_body = on_request_body,
    .on_response_head = on_response_head,
    .on_response_body = on_response_body,
    .on_done = on_done,
};
