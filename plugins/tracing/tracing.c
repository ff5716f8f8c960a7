/*
 * tracing - trace context for upstreams, and spans for a collector.
 *
 * An exchange is a server span, each try upstream a client span below it; the try's own span is
 * the parent that the upstream sees. Spans are made when the exchange is over (trace_span.c) and
 * leave by the worker's exporter (export.c). Until then an exchange costs a few numbers: when it
 * is not sampled they are thrown away, unless it fails.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

/* -- ids ------------------------------------------------------------------------ */

/* All zeros would be no id. */
static void make_id(const struct sluice_call *call, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t random = call->host->random(call);

        if (random == 0)
            random = 1;
        memcpy(out + i, &random, 8);
    }
}

/* The same under which its parts are known to log and other plugins. */
static void name_it(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    char trace[2 * CONTEXT_TRACE_BYTES], span[2 * CONTEXT_SPAN_BYTES];

    context_print_hex(ctx->self.trace, CONTEXT_TRACE_BYTES, trace);
    context_print_hex(ctx->self.span, CONTEXT_SPAN_BYTES, span);
    call->host->attribute_set(call, conf->trace_id, (struct sluice_span){trace, sizeof(trace)});
    call->host->attribute_set(call, conf->span_id, (struct sluice_span){span, sizeof(span)});
}

/* -- phases ----------------------------------------------------------------------- */

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    struct trace_ctx *ctx = call->ctx;
    uint32_t idle = conf->response_field.len > 0 ? 0 : 1u << SLUICE_PHASE_RESPONSE_HEAD;

    trace_read(call);
    if (ctx->parent.has_ids) {
        memcpy(ctx->self.trace, ctx->parent.trace, CONTEXT_TRACE_BYTES);
    } else {
        make_id(call, ctx->self.trace, CONTEXT_TRACE_BYTES);
    }
    make_id(call, ctx->self.span, CONTEXT_SPAN_BYTES);
    ctx->self.has_ids = true;
    ctx->is_sampled = trace_decide(call);
    ctx->self.flags =
        (uint8_t)((ctx->parent.flags & CONTEXT_RANDOM) | (ctx->is_sampled ? CONTEXT_SAMPLED : 0));
    ctx->is_recorded = ctx->is_sampled || conf->has_errors;
    if (ctx->is_recorded) {
        call->host->attribute_get(call, conf->path, &ctx->path);
        call->host->attribute_get(call, conf->query_text, &ctx->query);
    } else {
        idle |= 1u << SLUICE_PHASE_ATTEMPT | 1u << SLUICE_PHASE_ATTEMPT_DONE;
    }
    name_it(call);
    /*
     * The first try, which most often is the only one, sends the request as it is: it is written
     * once, with that try's span for a parent.
     */
    if (ctx->is_recorded)
        make_id(call, ctx->first.span, CONTEXT_SPAN_BYTES);
    trace_write(call, SLUICE_REQUEST, ctx->is_recorded ? ctx->first.span : ctx->self.span);
    if (idle)
        call->host->detach(call, idle);
    return SLUICE_NEXT;
}

/* A place for one more try; NULL: there are too many, or no memory is left. */
static struct trace_attempt *add_attempt(const struct sluice_call *call)
{
    struct trace_ctx *ctx = call->ctx;
    struct trace_attempt *attempt = &ctx->first;

    if (ctx->n_attempts == TRACE_ATTEMPTS_MAX)
        return NULL;
    if (ctx->last) {
        attempt = call->host->alloc(call, sizeof(*attempt));
        if (!attempt)
            return NULL;
        memset(attempt, 0, sizeof(*attempt));
        ctx->last->next = attempt;
    }
    ctx->last = attempt;
    ctx->n_attempts++;
    return attempt;
}

static bool is_first(const struct sluice_call *call, const struct trace_attempt *attempt)
{
    const struct trace_ctx *ctx = call->ctx;

    return attempt == &ctx->first;
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *told)
{
    struct trace_attempt *attempt = add_attempt(call);

    if (!attempt) {
        const struct trace_ctx *ctx = call->ctx;
        struct trace_worker *worker = call->worker;

        exporter_drop(&worker->exporter, call, 1, SLUICE_SPAN("too_many"));
        trace_write(call, SLUICE_ATTEMPT, ctx->self.span);
        return SLUICE_NEXT;
    }
    attempt->number = told->number;
    attempt->begun_us = told->begun_us;
    if (!is_first(call, attempt)) {
        make_id(call, attempt->span, CONTEXT_SPAN_BYTES);
        trace_write(call, SLUICE_ATTEMPT, attempt->span);
    }
    return SLUICE_NEXT;
}

/* Several may be under way at once: they are told apart by their numbers, the newest first. */
static struct trace_attempt *find_attempt(struct trace_ctx *ctx, uint32_t number)
{
    struct trace_attempt *found = NULL;

    for (struct trace_attempt *one = ctx->n_attempts > 0 ? &ctx->first : NULL; one;
         one = one->next) {
        if (one->number == number && !one->is_done)
            found = one;
    }
    return found;
}

static void on_attempt_done(const struct sluice_call *call, const struct sluice_attempt *told)
{
    struct trace_ctx *ctx = call->ctx;
    struct trace_attempt *attempt = find_attempt(ctx, told->number);

    if (!attempt)
        return;
    attempt->is_done = true;
    attempt->status = told->status;
    attempt->duration_us = told->duration_us;
    /* Of a try that went well the gateway still knows at the end where it went. */
    if (!ctx->is_sampled && !told->will_retry && told->status > 0 && told->status < 500)
        return;
    attempt->endpoint = call->host->copy(call, told->endpoint);
    attempt->upstream = call->host->copy(call, told->upstream);
    attempt->failure = call->host->copy(call, told->failure);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    char trace[2 * CONTEXT_TRACE_BYTES];

    if (!ctx->self.has_ids || conf->response_field.len == 0)
        return SLUICE_NEXT;
    context_print_hex(ctx->self.trace, CONTEXT_TRACE_BYTES, trace);
    call->host->field_set(call, SLUICE_RESPONSE, conf->response_field,
                          (struct sluice_span){trace, sizeof(trace)});
    return SLUICE_NEXT;
}

static void on_done(const struct sluice_call *call)
{
    const struct trace_ctx *ctx = call->ctx;

    if (!ctx->is_recorded)
        return;
    if (ctx->is_sampled || (trace_has_failed(call) && trace_keeps_error(call)))
        trace_tell(call);
}

static bool worker_start(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    struct trace_worker *worker = call->worker;

    worker->span = malloc(TRACE_SPAN_MAX);
    return worker->span && exporter_init(&worker->exporter, call, &conf->export);
}

static enum sluice_verdict on_drain(const struct sluice_call *call)
{
    struct trace_worker *worker = call->worker;

    return exporter_drain(&worker->exporter, call);
}

static void worker_stop(const struct sluice_call *call)
{
    struct trace_worker *worker = call->worker;

    exporter_fini(&worker->exporter, call);
    free(worker->span);
    worker->span = NULL;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "tracing",
    .version = "1.0.0",
    .summary = "Passes trace context on, and sends spans to an OpenTelemetry collector.",
    .options = trace_options,
    .conf_size = sizeof(struct trace_conf),
    .worker_size = sizeof(struct trace_worker),
    .ctx_size = sizeof(struct trace_ctx),
    .conf_check = trace_check,
    .conf_start = trace_start,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_attempt = on_attempt,
    .on_attempt_done = on_attempt_done,
    .on_response_head = on_response_head,
    .on_done = on_done,
    .on_drain = on_drain,
};
