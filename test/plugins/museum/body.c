/*
 * body.c - a kept plugin: bodies edited by part, attempts, local replies, done exactly once.
 *
 * Its .so was built once, against the header as frozen; see README.md. Do not touch.
 */
#include "sluice_plugin.h"

struct worker {
    uint64_t done, begun;
};

struct ctx {
    uint32_t attempts, attempts_done;
    bool is_begun;
};

/* ASCII letters in capitals, in memory of the exchange. */
static enum sluice_verdict shout(const struct sluice_call *call, struct sluice_span part)
{
    char *copy;

    if (part.len == 0)
        return SLUICE_NEXT;
    copy = call->host->alloc(call, part.len);
    if (!copy)
        return SLUICE_FAIL;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];

        copy[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return call->host->body_replace(call, (struct sluice_span){copy, part.len}) ? SLUICE_NEXT
                                                                                : SLUICE_FAIL;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    struct worker *worker = call->worker;
    struct ctx *ctx = call->ctx;

    worker->begun++;
    ctx->is_begun = true;
    call->host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_EDIT, 0);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_request_body(const struct sluice_call *call, struct sluice_span part,
                                           bool last)
{
    (void)last;
    return shout(call, part);
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt)
{
    struct ctx *ctx = call->ctx;

    ctx->attempts++;
    return attempt->number == ctx->attempts &&
                   call->host->field_set(call, SLUICE_ATTEMPT, SLUICE_SPAN("x-museum-endpoint"),
                                         attempt->endpoint)
               ? SLUICE_NEXT
               : SLUICE_FAIL;
}

static void on_attempt_done(const struct sluice_call *call, const struct sluice_attempt *attempt)
{
    struct ctx *ctx = call->ctx;

    ctx->attempts_done += attempt->is_done;
}

static enum sluice_verdict on_local_reply(const struct sluice_call *call)
{
    struct sluice_reply reply = {.size = sizeof(reply)};

    if (!call->host->reply_get(call, &reply))
        return SLUICE_FAIL;
    reply.content_type = SLUICE_SPAN("text/plain");
    reply.body = SLUICE_SPAN("from the museum\n");
    reply.fields = NULL;
    reply.n_fields = 0;
    return call->host->reply_edit(call, &reply) ? SLUICE_NEXT : SLUICE_FAIL;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    call->host->body_want(call, SLUICE_RESPONSE, SLUICE_BODY_EDIT, 0);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_body(const struct sluice_call *call, struct sluice_span part,
                                            bool last)
{
    (void)last;
    return shout(call, part);
}

static void on_done(const struct sluice_call *call)
{
    struct worker *worker = call->worker;
    const struct ctx *ctx = call->ctx;

    worker->done += ctx->is_begun && ctx->attempts == ctx->attempts_done;
}

static void on_report(const struct sluice_call *call)
{
    const struct worker *worker = call->worker;

    call->host->report(call, worker->done == worker->begun ? SLUICE_SPAN("{\"balance\": true}")
                                                           : SLUICE_SPAN("{\"balance\": false}"));
}

const struct sluice_plugin sluice_plugin = {SLUICE_PLUGIN_HEAD,
                                            .name = "museum_body",
                                            .version = "1.0.0",
                                            .summary = "A kept plugin: bodies and attempts.",
                                            .worker_size = sizeof(struct worker),
                                            .ctx_size = sizeof(struct ctx),
                                            .on_request_head = on_request_head,
                                            .on_request_body = on_request_body,
                                            .on_attempt = on_attempt,
                                            .on_attempt_done = on_attempt_done,
                                            .on_local_reply = on_local_reply,
                                            .on_response_head = on_response_head,
                                            .on_response_body = on_response_body,
                                            .on_done = on_done,
                                            .on_report = on_report};
