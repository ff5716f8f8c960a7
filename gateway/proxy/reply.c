/*
 * reply.c - the answers that the gateway makes itself: responses of routes, redirects, problems
 * (RFC 9457).
 */
#include "http/message.h"
#include "proxy/exchange_chain.h"
#include "proxy/grpc.h"
#include "proxy/worker.h"

enum {
    FIELDS_MAX = 8,        /* of our own; edits of the route come on top and grow the table */
    ECHO_MAX = 256 * 1024, /* bytes: a head of 64 KiB, every byte of it escaped */
};

struct reply {
    struct response response;
    struct sluice_span body;
};

static enum err add(struct reply *reply, struct sluice_span name, struct sluice_span value)
{
    return fields_add(&reply->response.fields, name, value);
}

static enum err respond(struct exchange *ex, struct reply *reply)
{
    const struct route_respond *respond = ex->route->respond;
    enum err err = OK;

    reply->response.status = (uint16_t)respond->status;
    reply->body = respond->body;
    if (respond->body.len > 0)
        err = add(reply, SPAN("content-type"), respond->content_type);
    return err ? err : route_edit_fields(&respond->fields, &reply->response.fields);
}

static enum err redirect(struct exchange *ex, struct reply *reply)
{
    struct sluice_span location;
    const struct route *route = ex->route ? ex->route : ex->from.port->conf->redirect.route;
    enum err err =
        route_location(route, &ex->request, span_of(ex->from.scheme), &ex->arena, &location);

    reply->response.status = (uint16_t)route_redirect_status(route);
    return err ? err : add(reply, SPAN("location"), location);
}

static enum err echo(struct exchange *ex, struct reply *reply)
{
    struct text text;
    enum err err;

    text_init(&text, ECHO_MAX);
    err = echo_body(ex, &text);
    reply->response.status = 200;
    reply->body = arena_copy(&ex->arena, text_span(&text));
    text_fini(&text);
    if (err || !reply->body.ptr)
        return ERR_MEMORY;
    return add(reply, SPAN("content-type"), SPAN("application/json"));
}

static enum err problem_body(struct exchange *ex, struct sluice_span id, struct sluice_span *body)
{
    char bytes[1024];
    struct text text;
    unsigned status = reason_status(ex->reason);

    text_init_fixed(&text, bytes, sizeof(bytes));
    text_format(&text,
                "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"reason\":\"%s\","
                "\"detail\":\"%s",
                status_reason(status), status, reason_name(ex->reason), reason_text(ex->reason));
    if (ex->detail) {
        text_add(&text, SPAN(" ("));
        text_add_json(&text, span_of(ex->detail));
        text_add(&text, SPAN(")"));
    }
    text_add(&text, SPAN("\",\"request_id\":\""));
    text_add_json(&text, id);
    text_add(&text, SPAN("\"}\n"));
    *body = arena_copy(&ex->arena, text_span(&text));
    return body->ptr ? OK : ERR_MEMORY;
}

/* The field of which nobody may be left in doubt after a 405. */
static enum err add_allow(struct exchange *ex, struct reply *reply)
{
    char bytes[128];
    struct text text;
    struct sluice_span allow;

    text_init_fixed(&text, bytes, sizeof(bytes));
    route_methods_print(ex->allowed_methods, &text);
    allow = arena_copy(&ex->arena, text_span(&text));
    return allow.ptr ? add(reply, SPAN("allow"), allow) : ERR_MEMORY;
}

static enum err problem(struct exchange *ex, struct reply *reply)
{
    struct sluice_span id = exchange_id(ex);
    enum err err;

    reply->response.status = (uint16_t)reason_status(ex->reason);
    err = id.len > 0 ? problem_body(ex, id, &reply->body) : ERR_MEMORY;
    if (err == OK)
        err = add(reply, SPAN("content-type"), SPAN("application/problem+json"));
    if (err == OK)
        err = add(reply, SPAN("x-request-id"), id);
    if (err == OK && ex->reason == REASON_METHOD_NOT_ALLOWED)
        err = add_allow(ex, reply);
    return err;
}

/* What the problem page calls a status that a plugin chose. */
static enum err plugin_problem(struct exchange *ex, struct sluice_span reason, struct reply *reply)
{
    struct sluice_span id = exchange_id(ex);
    const char *title = status_reason(reply->response.status);

    reply->body = arena_format(&ex->arena,
                               "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,"
                               "\"reason\":\"%.*s\",\"request_id\":\"%.*s\"}\n",
                               *title ? title : "Refused", reply->response.status, (int)reason.len,
                               reason.len ? reason.ptr : "", (int)id.len, id.ptr);
    return reply->body.ptr ? add(reply, SPAN("content-type"), SPAN("application/problem+json"))
                           : ERR_MEMORY;
}

/* As a plugin said it by reply(). */
static enum err from_plugin(struct exchange *ex, struct reply *reply)
{
    const struct chain_reply *answer = chain_reply(ex->chain);
    enum err err = OK;

    reply->response.status = (uint16_t)answer->status;
    reply->body = answer->body;
    if (answer->body.len == 0 && answer->status >= 400) {
        err = plugin_problem(ex, answer->reason, reply);
    } else if (answer->body.len > 0) {
        err = add(reply, SPAN("content-type"),
                  answer->content_type.len > 0 ? answer->content_type
                                               : SPAN("text/plain; charset=utf-8"));
    }
    for (size_t i = 0; err == OK && i < answer->n_fields; i++) {
        /* A field that cannot stand is left out: better than no answer. */
        if (add(reply, answer->fields[i].name, answer->fields[i].value) == ERR_LIMIT)
            err = ERR_LIMIT;
    }
    return err;
}

static enum err compose(struct exchange *ex, struct reply *reply)
{
    enum err err = add(reply, SPAN("date"), worker_date(ex->worker));

    if (err)
        return err;
    if (ex->reason == REASON_PLUGIN_REPLIED)
        return from_plugin(ex, reply);
    if (reason_status(ex->reason) != 0)
        return problem(ex, reply);
    if (!ex->route) /* the listener's own */
        return redirect(ex, reply);
    switch (ex->route->action) {
    case ROUTE_RESPOND:
        err = respond(ex, reply);
        break;
    case ROUTE_REDIRECT:
        err = redirect(ex, reply);
        break;
    case ROUTE_ECHO:
        err = echo(ex, reply);
        break;
    case ROUTE_FORWARD:
        return ERR_MISSING;
    }
    return err ? err : route_edit_fields(&ex->route->response_edits, &reply->response.fields);
}

static bool may_have_content(unsigned status)
{
    return status != 204 && status != 304;
}

/* Make the answer: its head is in ex->response, its content in ex->body. */
static enum err make(struct exchange *ex)
{
    struct reply reply = {
        .response = {.minor = 1, .fields = {.cap = FIELDS_MAX, .arena = &ex->arena}}};
    enum err err;

    reply.response.fields.line = arena_try_raw(&ex->arena, FIELDS_MAX * sizeof(struct field_line));
    if (!reply.response.fields.line)
        return ERR_MEMORY;
    err = compose(ex, &reply);
    ex->response = reply.response;
    ex->body = reply.body;
    return err;
}

/* Let the plugins look at it: at most once again for each of them, as who fails is left out. */
static enum err pass_plugins(struct exchange *ex)
{
    enum reason reason;
    enum err err = OK;

    for (;;) {
        if (!ex->composed) {
            err = make(ex);
            if (err)
                return err;
            ex->composed = true;
            if (reason_status(ex->reason) != 0)
                exchange_chain_local_reply(ex);
        }
        err = exchange_chain_return(ex, &reason);
        if (err == OK)
            err = exchange_chain_reply_content(ex, &reason);
        if (err == OK || err == ERR_AGAIN)
            return err;
        ex->reason = reason;
        ex->composed = false;
        exchange_chain_refused(ex);
    }
}

enum err reply_send(struct exchange *ex)
{
    struct leg *down = ex->from.leg;
    struct leg_head head = {
        .response = &ex->response, .keep_length = BODY_UNKNOWN, .framing = FRAMING_NONE};
    enum err err = ex->chain ? pass_plugins(ex) : make(ex);

    if (err)
        return err;
    ex->composed = false;
    if (ex->request.method == METHOD_POST && grpc_is_call(ex)) {
        err = grpc_answer(ex);
        if (err)
            return err;
        grpc_note(ex, &ex->response.fields);
    }
    if (ex->request.method == METHOD_HEAD) {
        head.keep_length = (int64_t)ex->body.len;
    } else if (may_have_content(ex->response.status)) {
        head.framing = FRAMING_LENGTH;
        head.body_bytes = (int64_t)ex->body.len;
    }
    err = down->ops->send_head(down, &head);
    if (err)
        return err;
    if (head.framing == FRAMING_LENGTH) {
        ex->response_bytes = (int64_t)ex->body.len;
        down->ops->send_body(down, ex->body);
    }
    down->ops->send_end(down, NULL);
    return OK;
}
