/*
 * fault - delay and abort requests on purpose, to see how the rest of the world takes it.
 *
 * A share of the requests is hit, or those that ask for it in a field; `when` of the entry narrows
 * further. Everything is bounded: no delay beyond max_delay, not more than max_active delays at a
 * time. The switch is the option `enabled`, or at run time the commands "on" and "off".
 */
#include "sluice_plugin.h"

#include <stdio.h>
#include <string.h>

enum distribution { FIXED, UNIFORM, EXPONENTIAL };
enum kind { DELAY, ABORT, SKIPPED };

struct delay {
    uint64_t time_ms, to_ms;
    double share;
    uint32_t distribution;
};

struct abortion {
    uint64_t status;
    double share;
    struct sluice_span body, content_type;
};

struct conf {
    bool enabled;
    struct delay delay;
    struct abortion abort;
    struct sluice_span delay_field, abort_field;
    uint64_t max_delay_ms, max_active;
    uint64_t max_active_here; /* of one worker */
    struct sluice_metric *injected, *active;
};

struct worker {
    bool is_off, is_switched; /* by a command */
    uint64_t n_active;
};

struct ctx {
    uint32_t abort_status; /* 0: none */
    bool is_delayed;
};

/* clang-format off */
static const struct sluice_choice distributions[] = {
    {"fixed", FIXED, "always `time`"},
    {"uniform", UNIFORM, "between `time` and `to`"},
    {"exponential", EXPONENTIAL, "with the mean `time`, cut at `to`: many short, few long"},
    {NULL, 0, NULL}};

static const struct sluice_option delay_options[] = {
    {.kind = SLUICE_OPTION_DURATION, .flags = SLUICE_OPTION_SCALAR, .name = "time",
     .offset = offsetof(struct delay, time_ms), .preset = "0", .help = "how long; 0: no delay",
     .example = "200ms"},
    {.kind = SLUICE_OPTION_DURATION, .name = "to", .offset = offsetof(struct delay, to_ms),
     .preset = "0", .help = "the longest, of `uniform` and `exponential`; 0: ten times `time`",
     .example = "2s"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "distribution",
     .offset = offsetof(struct delay, distribution), .preset = "fixed", .choices = distributions,
     .help = "how delays are spread"},
    {.kind = SLUICE_OPTION_RATIO, .name = "share", .offset = offsetof(struct delay, share),
     .preset = "100%", .help = "of the requests", .example = "5%"},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option abort_options[] = {
    {.kind = SLUICE_OPTION_UINT, .flags = SLUICE_OPTION_SCALAR, .name = "status",
     .offset = offsetof(struct abortion, status), .preset = "0", .max = 599,
     .help = "what the request is answered with; 0: no abort", .example = "503"},
    {.kind = SLUICE_OPTION_RATIO, .name = "share", .offset = offsetof(struct abortion, share),
     .preset = "100%", .help = "of the requests", .example = "1%"},
    {.kind = SLUICE_OPTION_TEXT, .name = "body", .offset = offsetof(struct abortion, body),
     .help = "content of the answer; empty: the gateway's error page"},
    {.kind = SLUICE_OPTION_TEXT, .name = "content_type",
     .offset = offsetof(struct abortion, content_type), .preset = "text/plain",
     .help = "type of `body`"},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_BOOL, .name = "enabled", .offset = offsetof(struct conf, enabled),
     .preset = "true", .help = "the switch; false: every request passes"},
    {.kind = SLUICE_OPTION_STRUCT, .name = "delay", .offset = offsetof(struct conf, delay),
     .fields = delay_options, .help = "hold the request before it goes on",
     .example = "{time: 200ms, share: 5%}"},
    {.kind = SLUICE_OPTION_STRUCT, .name = "abort", .offset = offsetof(struct conf, abort),
     .fields = abort_options, .help = "answer instead of forwarding, after the delay if any",
     .example = "{status: 503, share: 1%}"},
    {.kind = SLUICE_OPTION_TEXT, .name = "delay_field",
     .offset = offsetof(struct conf, delay_field),
     .help = "field of the request that asks for a delay, in milliseconds; empty: none",
     .example = "x-fault-delay"},
    {.kind = SLUICE_OPTION_TEXT, .name = "abort_field",
     .offset = offsetof(struct conf, abort_field),
     .help = "field of the request that asks for an abort, by its status; empty: none",
     .example = "x-fault-abort"},
    {.kind = SLUICE_OPTION_DURATION, .name = "max_delay",
     .offset = offsetof(struct conf, max_delay_ms), .preset = "10s", .min = 1, .max = 600000,
     .help = "no delay is longer, whoever asks for it"},
    {.kind = SLUICE_OPTION_UINT, .name = "max_active", .offset = offsetof(struct conf, max_active),
     .preset = "100", .min = 1, .max = 1000000,
     .help = "requests held at a time by all workers together; more pass without delay"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- chance ------------------------------------------------------------------------ */

/* From 0 to below 1. */
static double chance(const struct sluice_call *call)
{
    return (double)(call->host->random(call) >> 11) * 0x1p-53;
}

/*
 * Exponential with mean 1, by von Neumann's comparisons: the first draw is good when the first rise
 * after it comes at an even place; else add one and try again.
 */
static double exponential(const struct sluice_call *call)
{
    for (unsigned whole = 0; whole < 32; whole++) {
        double first = chance(call), last = first, next = chance(call);
        unsigned place = 2;

        while (next < last) {
            last = next;
            next = chance(call);
            place++;
        }
        if (place % 2 == 0)
            return whole + first;
    }
    return 32;
}

static uint64_t draw_ms(const struct sluice_call *call, const struct delay *delay)
{
    double longest = (double)delay->to_ms, ms = (double)delay->time_ms;

    switch ((enum distribution)delay->distribution) {
    case FIXED:
        break;
    case UNIFORM:
        ms += chance(call) * (longest - ms);
        break;
    case EXPONENTIAL:
        ms *= exponential(call);
        break;
    }
    return (uint64_t)(delay->distribution != FIXED && ms > longest ? longest : ms);
}

/* -- what is asked for ---------------------------------------------------------------- */

/* Digits alone, at most nine. */
static bool field_number(const struct sluice_call *call, struct sluice_span name, uint64_t *value)
{
    struct sluice_span text;

    if (name.len == 0 || !call->host->field_get(call, SLUICE_REQUEST, name, &text) ||
        text.len == 0 || text.len > 9)
        return false;
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return true;
}

static uint64_t choose_delay_ms(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    uint64_t ms = 0;

    if (!field_number(call, conf->delay_field, &ms) && conf->delay.time_ms &&
        chance(call) < conf->delay.share)
        ms = draw_ms(call, &conf->delay);
    return ms < conf->max_delay_ms ? ms : conf->max_delay_ms;
}

static uint32_t choose_status(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    uint64_t status = 0;

    if (field_number(call, conf->abort_field, &status))
        return status >= 200 && status <= 599 ? (uint32_t)status : 0;
    return conf->abort.status && chance(call) < conf->abort.share ? (uint32_t)conf->abort.status
                                                                  : 0;
}

/* -- phases ------------------------------------------------------------------------------ */

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;
    struct delay *delay = &conf->delay;
    uint32_t workers = host->workers(setup);

    if (delay->to_ms == 0)
        delay->to_ms = delay->time_ms * 10;
    if (delay->to_ms < delay->time_ms)
        host->conf_error(setup, "delay.to", "it is the longest delay", "it is below delay.time");
    if (delay->time_ms > conf->max_delay_ms)
        host->conf_error(setup, "delay.time", "raise max_delay too", "it is above max_delay");
    if (conf->abort.status && conf->abort.status < 200)
        host->conf_error(setup, "abort.status", "200 to 599", "an interim status ends nothing");
    if (conf->abort.status && conf->abort.status < 400 && conf->abort.body.len == 0)
        conf->abort.content_type = SLUICE_SPAN("");
    conf->max_active_here = (conf->max_active + workers - 1) / workers;
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"kind", NULL};
    struct conf *conf = conf_;

    conf->injected = host->metric(
        setup,
        &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                     .kind = SLUICE_COUNTER,
                                     .name = "injected_total",
                                     .help = "Faults: delay, abort, or skipped by max_active.",
                                     .labels = labels});
    conf->active =
        host->metric(setup, &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                                         .kind = SLUICE_GAUGE,
                                                         .name = "active",
                                                         .help = "Requests that are held."});
    return true;
}

static void count(const struct sluice_call *call, enum kind kind)
{
    static const struct sluice_span names[] = {SLUICE_SPAN_INIT("delay"), SLUICE_SPAN_INIT("abort"),
                                               SLUICE_SPAN_INIT("skipped")};
    const struct conf *conf = call->conf;

    call->host->metric_add(call, conf->injected, &names[kind], 1);
}

static enum sluice_verdict abort_with(const struct sluice_call *call, uint32_t status)
{
    const struct conf *conf = call->conf;
    const struct sluice_reply reply = {
        .size = sizeof(reply),
        .status = status,
        .reason = SLUICE_SPAN("fault_abort"),
        .content_type = conf->abort.body.len ? conf->abort.content_type : SLUICE_SPAN(""),
        .body = conf->abort.body};

    count(call, ABORT);
    call->host->note(call, SLUICE_SPAN("fault_abort"));
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

static void end_delay(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct worker *worker = call->worker;
    struct ctx *ctx = call->ctx;

    if (!ctx->is_delayed)
        return;
    ctx->is_delayed = false;
    worker->n_active--;
    call->host->metric_add(call, conf->active, NULL, -1);
}

static enum sluice_verdict on_time(const struct sluice_call *call, void *arg)
{
    const struct ctx *ctx = call->ctx;

    (void)arg;
    end_delay(call);
    return ctx->abort_status ? abort_with(call, ctx->abort_status) : SLUICE_NEXT;
}

/* True when the exchange is to be held. */
static bool begin_delay(const struct sluice_call *call, uint64_t ms)
{
    const struct conf *conf = call->conf;
    struct worker *worker = call->worker;
    struct ctx *ctx = call->ctx;

    if (worker->n_active >= conf->max_active_here ||
        !call->host->timer(call, (uint32_t)ms, on_time, NULL)) {
        count(call, SKIPPED);
        return false;
    }
    ctx->is_delayed = true;
    worker->n_active++;
    call->host->metric_add(call, conf->active, NULL, 1);
    count(call, DELAY);
    call->host->note(call, SLUICE_SPAN("fault_delay"));
    return true;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct worker *worker = call->worker;
    struct ctx *ctx = call->ctx;
    uint64_t delay_ms;

    if (worker->is_switched ? worker->is_off : !conf->enabled)
        return SLUICE_NEXT;
    delay_ms = choose_delay_ms(call);
    ctx->abort_status = choose_status(call);
    if (delay_ms && begin_delay(call, delay_ms))
        return SLUICE_WAIT;
    return ctx->abort_status ? abort_with(call, ctx->abort_status) : SLUICE_NEXT;
}

/* The client may leave, or the entry's `wait` may run out, while a request is held. */
static void on_done(const struct sluice_call *call)
{
    end_delay(call);
}

/* -- admin --------------------------------------------------------------------------------- */

static void on_report(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct worker *worker = call->worker;
    char json[128];

    snprintf(json, sizeof(json), "{\"enabled\": %s, \"active\": %llu}",
             (worker->is_switched ? !worker->is_off : conf->enabled) ? "true" : "false",
             (unsigned long long)worker->n_active);
    call->host->report(call, (struct sluice_span){json, strlen(json)});
}

static bool is(struct sluice_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static void on_command(const struct sluice_call *call, struct sluice_span command)
{
    struct worker *worker = call->worker;

    if (!is(command, "on") && !is(command, "off") && !is(command, "configured")) {
        call->host->report(call, SLUICE_SPAN("{\"error\": \"on, off or configured\"}"));
        return;
    }
    worker->is_switched = !is(command, "configured");
    worker->is_off = is(command, "off");
    on_report(call);
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "fault",
    .version = "1.0.0",
    .summary = "Delays and aborts requests on purpose.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .worker_size = sizeof(struct worker),
    .ctx_size = sizeof(struct ctx),
    .conf_check = conf_check,
    .conf_start = conf_start,
    .on_request_head = on_request_head,
    .on_done = on_done,
    .on_report = on_report,
    .on_command = on_command,
};
