/*
 * circuit_breaker - stop asking an upstream that fails, and try again with a few requests.
 *
 * A circuit belongs to an upstream or a route. It is one shared word (circuit.h), so all workers
 * and all generations of the configuration see the same state, and every transition happens once.
 * What was answered in the last seconds is counted in shared words too, one for each tenth of the
 * window; the ratios are only looked at when a request has failed or was slow.
 */
#include "breaker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CIRCUITS_TOLD = 64, /* by one worker, in a report */
    REPORT_MAX = CIRCUITS_TOLD * (BREAKER_NAME_MAX + 160),
};

struct breaker_worker {
    char told[CIRCUITS_TOLD][BREAKER_NAME_MAX + 1];
    size_t n_told;
    size_t last; /* the one looked up last */
};

struct breaker_ctx {
    struct sluice_span name; /* of the circuit; empty: this exchange is not watched */
    uint32_t trips;          /* of the circuit, when a probe was let through */
    bool is_probe, is_judged;
};

/* -- judging -------------------------------------------------------------------- */

static void judge_probe(const struct sluice_call *call, bool failed)
{
    const struct breaker_conf *conf = call->conf;
    const struct breaker_ctx *ctx = call->ctx;
    struct event event = {
        .kind = EVENT_JUDGE, .was_probe = true, .failed = failed, .trips = ctx->trips};
    const struct sluice_span labels[] = {ctx->name,
                                         failed ? SLUICE_SPAN("failed") : SLUICE_SPAN("passed")};

    call->host->metric_add(call, conf->probed, labels, 1);
    breaker_change(call, ctx->name, &event);
}

static bool is_failure(const struct breaker_conf *conf, const struct sluice_attempt *attempt)
{
    const uint64_t *status = conf->statuses.first;

    if (attempt->status == 0)
        return true;
    for (size_t i = 0; i < conf->statuses.n; i++) {
        if (status[i] == (uint64_t)attempt->status)
            return true;
    }
    return false;
}

/* The client went, or another try was quicker: that says nothing about the upstream. */
static bool says_nothing(const struct sluice_attempt *attempt)
{
    static const char *const ends[] = {"cancelled", "client_closed", "client_reset"};

    if (attempt->status != 0)
        return false;
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        if (attempt->failure.len == strlen(ends[i]) &&
            memcmp(attempt->failure.ptr, ends[i], attempt->failure.len) == 0)
            return true;
    }
    return attempt->failure.len == 0;
}

static void on_attempt_done(const struct sluice_call *call, const struct sluice_attempt *attempt)
{
    const struct breaker_conf *conf = call->conf;
    struct breaker_ctx *ctx = call->ctx;
    bool slow = conf->slow_ratio > 0 && attempt->duration_us >= conf->slow_ms * 1000;
    bool failed = is_failure(conf, attempt);

    if (ctx->name.len == 0 || says_nothing(attempt))
        return;
    if (!ctx->is_probe) {
        breaker_judge(call, ctx->name, failed, slow);
    } else if (!ctx->is_judged) {
        ctx->is_judged = true;
        judge_probe(call, failed || slow);
    }
}

static void on_done(const struct sluice_call *call)
{
    const struct breaker_ctx *ctx = call->ctx;
    struct event event = {.kind = EVENT_GIVE_BACK, .was_probe = true, .trips = ctx->trips};

    if (ctx->is_probe && !ctx->is_judged)
        breaker_change(call, ctx->name, &event);
}

/* -- letting through --------------------------------------------------------------- */

static enum sluice_verdict refuse(const struct sluice_call *call, const struct circuit *circuit)
{
    const struct breaker_conf *conf = call->conf;
    const struct breaker_ctx *ctx = call->ctx;
    char seconds[16];
    uint32_t wait = circuit_wait_ms(circuit, breaker_now_ms(call)) / 1000 + 1;
    struct sluice_pair field = {SLUICE_SPAN("retry-after"), {seconds, 0}};
    struct sluice_reply reply = {.size = sizeof(reply),
                                 .status = (uint32_t)conf->fallback.status,
                                 .reason = SLUICE_SPAN("circuit_open"),
                                 .content_type = conf->fallback.content_type,
                                 .body = conf->fallback.body,
                                 .fields = &field,
                                 .n_fields = conf->fallback.retry_after ? 1 : 0};

    call->host->metric_add(call, conf->refused, &ctx->name, 1);
    /* Where it cannot go elsewhere (a fallback's own fallback), it is answered. */
    if (conf->fallback.upstream && call->host->upstream_set(call, conf->fallback.upstream)) {
        struct breaker_ctx *mine = call->ctx;

        mine->name.len = 0; /* the other upstream's failures are not this one's */
        call->host->note(call, SLUICE_SPAN("circuit_open"));
        return SLUICE_NEXT;
    }
    field.value.len = (size_t)snprintf(seconds, sizeof(seconds), "%u", wait);
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

static bool is_told(const struct breaker_worker *worker, size_t i, struct sluice_span name)
{
    return strlen(worker->told[i]) == name.len && memcmp(worker->told[i], name.ptr, name.len) == 0;
}

/* For reports: which circuits there are. */
static void remember(struct breaker_worker *worker, struct sluice_span name)
{
    if (is_told(worker, worker->last, name))
        return;
    for (size_t i = 0; i < worker->n_told; i++) {
        if (is_told(worker, i, name)) {
            worker->last = i;
            return;
        }
    }
    if (worker->n_told == CIRCUITS_TOLD)
        return;
    memcpy(worker->told[worker->n_told], name.ptr, name.len);
    worker->told[worker->n_told++][name.len] = '\0';
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct breaker_conf *conf = call->conf;
    struct breaker_ctx *ctx = call->ctx;
    struct event event = {.kind = EVENT_ENTER};
    struct circuit circuit;

    if (!call->host->attribute_get(call, conf->name, &ctx->name) || ctx->name.len == 0 ||
        ctx->name.len > BREAKER_NAME_MAX) {
        ctx->name.len = 0;
        return SLUICE_NEXT;
    }
    ctx->name = call->host->copy(call, ctx->name); /* a fallback may change the attribute */
    if (ctx->name.len == 0)
        return SLUICE_FAIL;
    remember(call->worker, ctx->name);
    circuit = breaker_change(call, ctx->name, &event);
    if (event.entry == CIRCUIT_REFUSE)
        return refuse(call, &circuit);
    ctx->is_probe = event.entry == CIRCUIT_PROBE;
    if (!ctx->is_probe)
        call->host->detach(call, 1u << SLUICE_PHASE_DONE); /* there is nothing to give back */
    ctx->trips = circuit.trips;
    return SLUICE_NEXT;
}

/* -- operators ------------------------------------------------------------------------ */

static void on_report(const struct sluice_call *call)
{
    const struct breaker_conf *conf = call->conf;
    const struct breaker_worker *worker = call->worker;
    char *json = malloc(REPORT_MAX);
    size_t len = 0;

    if (!json)
        return;
    json[len++] = '{';
    for (size_t i = 0; i < worker->n_told; i++) {
        struct sluice_span name = {worker->told[i], strlen(worker->told[i])};
        struct circuit circuit = circuit_unpack(call->host->words_get(conf->words, name));

        /* Names of routes and upstreams hold nothing that JSON would escape. */
        len += (size_t)snprintf(json + len, REPORT_MAX - len,
                                "%s\"%s\":{\"state\":\"%s\",\"opened\":%u,\"wait_ms\":%u,"
                                "\"failures_in_a_row\":%u,\"probes\":%u,\"passed\":%u}",
                                i ? "," : "", worker->told[i], circuit_state_name(&circuit),
                                circuit.trips, circuit_wait_ms(&circuit, breaker_now_ms(call)),
                                circuit.run, circuit.probes, circuit.passed);
    }
    json[len++] = '}';
    call->host->report(call, (struct sluice_span){json, len});
    free(json);
}

static bool takes(struct sluice_span *command, const char *word)
{
    size_t len = strlen(word);

    if (command->len <= len || memcmp(command->ptr, word, len) != 0 || command->ptr[len] != ' ')
        return false;
    command->ptr += len + 1;
    command->len -= len + 1;
    return true;
}

/* Of what routes and upstreams are called; a report needs to quote nothing of it. */
static bool is_name(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~' || text.ptr[i] == '"' || text.ptr[i] == '\\')
            return false;
    }
    return text.len > 0 && text.len <= BREAKER_NAME_MAX;
}

static void on_command(const struct sluice_call *call, struct sluice_span command)
{
    static const struct {
        const char *word;
        enum circuit_force force;
    } words[] = {
        {"open", CIRCUIT_FORCED_OPEN}, {"close", CIRCUIT_FORCED_CLOSED}, {"auto", CIRCUIT_AUTO}};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (takes(&command, words[i].word) && is_name(command)) {
            struct event event = {.kind = EVENT_FORCE, .force = words[i].force};

            remember(call->worker, command);
            breaker_change(call, command, &event);
            on_report(call);
            return;
        }
    }
    call->host->report(call,
                       SLUICE_SPAN("{\"error\":\"write: open NAME, close NAME or auto NAME\"}"));
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "circuit_breaker",
    .version = "1.0.0",
    .summary = "Keeps requests away from an upstream that fails, and probes it until it is back.",
    .options = breaker_options,
    .conf_size = sizeof(struct breaker_conf),
    .worker_size = sizeof(struct breaker_worker),
    .ctx_size = sizeof(struct breaker_ctx),
    .conf_check = breaker_check,
    .conf_start = breaker_start,
    .on_request_head = on_request_head,
    .on_attempt_done = on_attempt_done,
    .on_done = on_done,
    .on_report = on_report,
    .on_command = on_command,
};
