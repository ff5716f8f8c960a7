/*
 * host_http.c - HTTP calls of plugins, through the gateway's own upstreams.
 */
#include "base/alloc.h"
#include "chain/host.h"

#include <ctype.h>

enum { TIMEOUT_PRESET_MS = 1000, BODY_PRESET = 64 * 1024 };

struct host_call {
    struct chain_pending pending;
    const struct chain_ops *ops;
    struct call *call; /* owned until it is told */
    sluice_http_fn *done;
    void *arg; /* the plugin's */
    struct sluice_http_response response;
};

static void on_drop(struct chain_pending *pending)
{
    struct host_call *call = list_entry(pending, struct host_call, pending);

    call->ops->http_cancel(&call->call);
    alloc_free(call);
}

static enum sluice_verdict finish(const struct sluice_call *call, void *host_call_)
{
    const struct host_call *host_call = host_call_;

    return host_call->done(call, &host_call->response, host_call->arg);
}

static struct sluice_span lower(struct sluice_span name, struct arena *arena)
{
    char *out = arena_try(arena, name.len + 1);

    for (size_t i = 0; out && i < name.len; i++)
        out[i] = (char)tolower((unsigned char)name.ptr[i]);
    return span_make(out, out ? name.len : 0);
}

/* The fields as the plugin gets them; false: no memory. */
static bool give_fields(struct sluice_http_response *response, const struct fields *fields,
                        struct arena *arena)
{
    struct sluice_pair *pair = arena_try(arena, (fields->n + 1U) * sizeof(*pair));

    for (unsigned i = 0; pair && i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];
        struct sluice_span name;

        if (line->mark & FIELD_DROPPED)
            continue;
        name = lower(field_name(line), arena);
        if (!name.ptr)
            return false;
        pair[response->n_fields++] = (struct sluice_pair){name, field_value(line)};
    }
    response->fields = pair;
    return pair != NULL;
}

static void on_answer(void *host_call_, const struct chain_http_answer *answer)
{
    struct host_call *host_call = host_call_;
    struct sluice_http_response *response = &host_call->response;

    *response = (struct sluice_http_response){.size = sizeof(*response), .end = answer->end};
    if (answer->response && !give_fields(response, &answer->response->fields, answer->arena)) {
        *response =
            (struct sluice_http_response){.size = sizeof(*response), .end = SLUICE_HTTP_TOO_LARGE};
    } else if (answer->response) {
        response->status = answer->response->status;
        response->body = answer->body;
    }
    pending_finish(&host_call->pending, finish, host_call);
    alloc_free(host_call);
}

static bool fill(struct chain_http_request *wanted, const struct sluice_http_request *request)
{
    const struct sluice_target *target = request->target;

    if (!target || !target->upstream)
        return false;
    *wanted = (struct chain_http_request){
        .upstream = target->upstream->index,
        .method = request->method.len > 0 ? request->method : SPAN("GET"),
        .target = request->path.len > 0 ? request->path : target->path,
        .host = target->is_url ? target->authority : SPAN(""),
        .fields = request->fields,
        .n_fields = request->n_fields,
        .body = request->body,
        .total_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_PRESET_MS,
        .max_body = request->max_body > 0 ? request->max_body : BODY_PRESET,
    };
    return true;
}

uint64_t host_http_call(const struct sluice_call *call, const struct sluice_http_request *request,
                        sluice_http_fn *done, void *arg)
{
    struct sluice_place *place = call->place;
    const struct chain_ops *ops = place->worker->ops;
    struct chain_http_request wanted;
    struct host_call *host_call;
    uint64_t number;

    if (!fill(&wanted, request))
        return 0;
    host_call = alloc_try(sizeof(*host_call));
    if (!host_call)
        return 0;
    *host_call = (struct host_call){.ops = ops, .done = done, .arg = arg};
    number = pending_add(call, &host_call->pending, on_drop);
    if (number > 0) {
        host_call->call = ops->http_start(place->view->holder.owner, &wanted, on_answer, host_call);
        if (host_call->call)
            return number;
        pending_remove(&host_call->pending);
    }
    alloc_free(host_call);
    return 0;
}
