/*
 * echo.c - the built-in echo service: what the gateway understood of a request, as JSON.
 */
#include "base/text.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

static void member(struct text *out, const char *name, struct sluice_span value)
{
    text_format(out, "  \"%s\": \"", name);
    text_add_json(out, value);
    text_add(out, SPAN("\",\n"));
}

/* Secrets stay with the one who sent them. */
static bool is_secret(const struct field_line *line)
{
    return line->id == FIELD_AUTHORIZATION || line->id == FIELD_COOKIE ||
           line->id == FIELD_PROXY_AUTHORIZATION;
}

static void add_fields(struct text *out, const struct fields *fields)
{
    bool first = true;

    text_add(out, SPAN("  \"fields\": ["));
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        text_add(out, first ? SPAN("\n    [\"") : SPAN(",\n    [\""));
        text_add_json(out, field_name(line));
        text_add(out, SPAN("\", \""));
        text_add_json(out, is_secret(line) ? SPAN("***") : field_value(line));
        text_add(out, SPAN("\"]"));
        first = false;
    }
    text_add(out, first ? SPAN("],\n") : SPAN("\n  ],\n"));
}

enum err echo_body(struct exchange *ex, struct text *out)
{
    const struct request *request = &ex->request;

    if (!exchange_client(ex).ptr || exchange_id(ex).len == 0)
        return ERR_MEMORY;
    text_add(out, SPAN("{\n"));
    member(out, "method", request->method_text);
    member(out, "path", request->path);
    member(out, "query", request->query);
    member(out, "host", request->authority);
    member(out, "protocol", span_of(ex->from.protocol));
    member(out, "client", exchange_client(ex));
    member(out, "listener", ex->from.port->conf->name);
    member(out, "route", ex->route->name);
    add_fields(out, &request->fields);
    text_format(out, "  \"connection_requests\": %u,\n  \"worker\": %u,\n  \"request_id\": \"",
                (unsigned)ex->from.requests, ex->worker->index);
    text_add_json(out, exchange_id(ex));
    text_add(out, SPAN("\"\n}\n"));
    return out->cut ? ERR_LIMIT : OK;
}
