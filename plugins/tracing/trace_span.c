/*
 * trace_span.c - what spans say of an exchange.
 *
 * Names and values are those of OpenTelemetry's semantic conventions for HTTP spans. The gateway
 * does not know whether a try went by TLS, so url.full of client spans, which would have to say
 * it, is left out; server.address and server.port are the endpoint's.
 */
#include "proto.h"
#include "trace.h"

#include <stdio.h>
#include <string.h>

/* trace.proto */
enum {
    SPAN_TRACE = 1,
    SPAN_ID = 2,
    SPAN_STATE = 3,
    SPAN_PARENT = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_BEGUN = 7,
    SPAN_ENDED = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_DROPPED_ATTRIBUTES = 10,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16,
    STATUS_CODE = 3,
    STATUS_ERROR = 2,
    KIND_SERVER = 2,
    KIND_CLIENT = 3,
    FLAG_HAS_REMOTE = 0x100, /* it is known whether the parent is elsewhere */
    FLAG_IS_REMOTE = 0x200,
};

enum item_kind { ITEM_TEXT, ITEM_NUMBER, ITEM_LIST };

struct item {
    struct sluice_span name, text;
    int64_t number;
    enum item_kind kind;
};

/* A span in the making. */
struct span {
    const struct sluice_call *call;
    struct item item[TRACE_ITEMS_MAX];
    unsigned n, n_dropped;
    bool has_failed;
    char error[16]; /* a status as text */
};

struct times {
    uint64_t begun_ns, ended_ns;
};

/* -- attributes ------------------------------------------------------------------- */

static bool is_equal(struct sluice_span a, struct sluice_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Names are unique: the last one counts. NULL: there are too many. */
static struct item *item_of(struct span *span, struct sluice_span name)
{
    for (unsigned i = 0; i < span->n; i++) {
        if (is_equal(span->item[i].name, name))
            return &span->item[i];
    }
    if (span->n == TRACE_ITEMS_MAX) {
        span->n_dropped++;
        return NULL;
    }
    span->item[span->n].name = name;
    return &span->item[span->n++];
}

static void add(struct span *span, struct sluice_span name, struct sluice_span text,
                enum item_kind kind)
{
    const struct trace_conf *conf = span->call->conf;
    struct item *item = text.len > 0 ? item_of(span, name) : NULL;

    if (!item)
        return;
    item->kind = kind;
    item->text = text;
    if (text.len > conf->value_size)
        item->text.len = (size_t)conf->value_size;
}

static void add_text(struct span *span, struct sluice_span name, struct sluice_span text)
{
    add(span, name, text, ITEM_TEXT);
}

static void add_number(struct span *span, struct sluice_span name, int64_t number)
{
    struct item *item = item_of(span, name);

    if (!item)
        return;
    item->kind = ITEM_NUMBER;
    item->number = number;
}

static struct sluice_span attribute(const struct sluice_call *call, uint32_t number)
{
    struct sluice_span value = {NULL, 0};

    if (!call->host->attribute_get(call, number, &value))
        value = (struct sluice_span){NULL, 0};
    return value;
}

/* "host", "host:port", "[v6]:port"; port -1: none. */
static struct sluice_span split(struct sluice_span address, int64_t *port)
{
    struct sluice_span host = address;
    int64_t number = 0;
    size_t colon = address.len, end = 0;

    *port = -1;
    while (colon > 0 && address.ptr[colon - 1] != ':' && address.ptr[colon - 1] != ']')
        colon--;
    if (address.len == 0 || address.ptr[0] == '/')
        return host;
    if (address.ptr[0] == '[') {
        const char *bracket = memchr(address.ptr, ']', address.len);

        end = bracket ? (size_t)(bracket - address.ptr) : address.len;
        host = (struct sluice_span){address.ptr + 1, end - 1};
    }
    if (colon == 0 || address.ptr[colon - 1] != ':' || colon - 1 < end || address.len - colon > 5)
        return host;
    for (size_t i = colon; i < address.len; i++) {
        if (address.ptr[i] < '0' || address.ptr[i] > '9')
            return host;
        number = number * 10 + (address.ptr[i] - '0');
    }
    if (colon < address.len)
        *port = number;
    if (end == 0)
        host.len = colon - 1;
    return host;
}

static void add_address(struct span *span, struct sluice_span text, struct sluice_span address,
                        struct sluice_span port_name)
{
    int64_t port;

    add_text(span, address, split(text, &port));
    if (port >= 0)
        add_number(span, port_name, port);
}

static void add_method(struct span *span, struct sluice_span method, bool *is_known)
{
    static const char *const known[] = {"GET",   "HEAD",  "POST",    "PUT",    "DELETE",
                                        "PATCH", "TRACE", "OPTIONS", "CONNECT"};

    *is_known = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        *is_known |= is_equal(method, (struct sluice_span){known[i], strlen(known[i])});
    add_text(span, SLUICE_SPAN("http.request.method"), *is_known ? method : SLUICE_SPAN("_OTHER"));
    if (!*is_known)
        add_text(span, SLUICE_SPAN("http.request.method_original"), method);
}

static void set_error(struct span *span, struct sluice_span type, int64_t status)
{
    span->has_failed = true;
    if (type.len == 0) {
        int len = snprintf(span->error, sizeof(span->error), "%lld", (long long)status);

        type = status > 0 ? (struct sluice_span){span->error, (size_t)len} : SLUICE_SPAN("_OTHER");
    }
    add_text(span, SLUICE_SPAN("error.type"), type);
}

static void add_captures(struct span *span, enum sluice_side side, size_t n,
                         const struct trace_capture *capture)
{
    struct sluice_span value;

    for (size_t i = 0; i < n; i++) {
        if (span->call->host->field_get(span->call, side, capture[i].field, &value))
            add(span, capture[i].attribute, value, ITEM_LIST);
    }
}

/* -- encoding ------------------------------------------------------------------------ */

static void put_items(const struct span *span, struct proto *proto)
{
    for (unsigned i = 0; i < span->n; i++) {
        const struct item *item = &span->item[i];

        switch (item->kind) {
        case ITEM_TEXT:
            proto_pair_text(proto, SPAN_ATTRIBUTES, item->name, item->text);
            break;
        case ITEM_NUMBER:
            proto_pair_int(proto, SPAN_ATTRIBUTES, item->name, item->number);
            break;
        case ITEM_LIST:
            proto_pair_list(proto, SPAN_ATTRIBUTES, item->name, item->text);
            break;
        }
    }
    if (span->n_dropped > 0)
        proto_uint(proto, SPAN_DROPPED_ATTRIBUTES, span->n_dropped);
}

static void put_state(const struct sluice_call *call, struct proto *proto)
{
    const struct trace_ctx *ctx = call->ctx;
    struct sluice_span state;

    if (ctx->has_state &&
        call->host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("tracestate"), &state))
        proto_text(proto, SPAN_STATE, state);
}

struct head {
    const uint8_t *id, *parent; /* parent NULL: none */
    struct sluice_span name;
    unsigned kind;
    uint32_t flags; /* besides those of the trace */
    struct times times;
};

static void send(const struct span *span, const struct head *head)
{
    const struct sluice_call *call = span->call;
    const struct trace_ctx *ctx = call->ctx;
    struct trace_worker *worker = call->worker;
    struct proto proto = {.out = worker->span, .room = TRACE_SPAN_MAX};
    static const char error[] = {STATUS_CODE << 3, STATUS_ERROR};

    proto_bytes(&proto, SPAN_TRACE, ctx->self.trace, CONTEXT_TRACE_BYTES);
    proto_bytes(&proto, SPAN_ID, head->id, CONTEXT_SPAN_BYTES);
    put_state(call, &proto);
    if (head->parent)
        proto_bytes(&proto, SPAN_PARENT, head->parent, CONTEXT_SPAN_BYTES);
    proto_text(&proto, SPAN_NAME, head->name);
    proto_uint(&proto, SPAN_KIND, head->kind);
    proto_fixed64(&proto, SPAN_BEGUN, head->times.begun_ns);
    proto_fixed64(&proto, SPAN_ENDED, head->times.ended_ns);
    put_items(span, &proto);
    if (span->has_failed)
        proto_bytes(&proto, SPAN_STATUS, error, sizeof(error));
    proto_fixed32(&proto, SPAN_FLAGS, ctx->self.flags | head->flags | FLAG_HAS_REMOTE);
    if (proto.is_short) {
        exporter_drop(&worker->exporter, call, 1, SLUICE_SPAN("too_large"));
    } else {
        exporter_add(&worker->exporter, call, proto.out, proto.len);
    }
}

/* -- the server span -------------------------------------------------------------------- */

/* A tunnel ends when somebody closes it: that is no failure. */
static bool is_cut(const struct sluice_call *call)
{
    return call->host->fact(call, SLUICE_FACT_IS_COMPLETE) == 0 &&
           call->host->fact(call, SLUICE_FACT_IS_TUNNEL) != 1;
}

bool trace_has_failed(const struct sluice_call *call)
{
    int64_t status = call->host->fact(call, SLUICE_FACT_STATUS);

    return status < 0 || status >= 500 || is_cut(call);
}

static void add_message(struct span *span)
{
    const struct sluice_call *call = span->call;
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    struct sluice_span protocol = attribute(call, conf->protocol), agent;

    add_text(span, SLUICE_SPAN("url.path"), ctx->path);
    if (conf->query)
        add_text(span, SLUICE_SPAN("url.query"), ctx->query);
    add_text(span, SLUICE_SPAN("url.scheme"), attribute(call, conf->scheme));
    add_address(span, attribute(call, conf->host), SLUICE_SPAN("server.address"),
                SLUICE_SPAN("server.port"));
    add_text(span, SLUICE_SPAN("client.address"), attribute(call, conf->client));
    add_text(span, SLUICE_SPAN("network.peer.address"), attribute(call, conf->peer));
    if (protocol.len > 5 && memcmp(protocol.ptr, "HTTP/", 5) == 0) {
        add_text(span, SLUICE_SPAN("network.protocol.version"),
                 (struct sluice_span){protocol.ptr + 5, protocol.len - 5});
    }
    add_text(span, SLUICE_SPAN("http.route"), attribute(call, conf->route));
    if (call->host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("user-agent"), &agent))
        add_text(span, SLUICE_SPAN("user_agent.original"), agent);
    add_captures(span, SLUICE_REQUEST, conf->request_fields.n, conf->request_capture);
    add_captures(span, SLUICE_RESPONSE, conf->response_fields.n, conf->response_capture);
}

static void add_outcome(struct span *span)
{
    const struct sluice_call *call = span->call;
    const struct trace_conf *conf = call->conf;
    int64_t status = call->host->fact(call, SLUICE_FACT_STATUS);

    if (status > 0)
        add_number(span, SLUICE_SPAN("http.response.status_code"), status);
    if (status >= 500 && call->host->fact(call, SLUICE_FACT_IS_LOCAL) != 1) {
        set_error(span, (struct sluice_span){NULL, 0}, status);
    } else if (trace_has_failed(call)) {
        set_error(span, attribute(call, conf->reason), status);
    }
}

/* What the configuration and other plugins have to say. */
static void add_extras(struct span *span)
{
    const struct sluice_call *call = span->call;
    const struct trace_conf *conf = call->conf;
    const struct trace_extra *extra = conf->attributes.first;
    struct sluice_pair pair;

    for (size_t i = 0; i < conf->attributes.n; i++)
        add_text(span, extra[i].name, call->host->render(call, extra[i].value));
    for (size_t at = 0; call->host->span_attribute_each(call, &at, &pair);)
        add_text(span, pair.name, pair.value);
}

/* "GET route"; the method alone where no route was found. */
static struct sluice_span name_of(const struct sluice_call *call, struct sluice_span method,
                                  char *out, size_t room)
{
    const struct trace_conf *conf = call->conf;
    struct sluice_span route = attribute(call, conf->route);
    int len = snprintf(out, room, "%.*s%s%.*s", (int)method.len, method.ptr,
                       route.len > 0 ? " " : "", (int)route.len, route.len > 0 ? route.ptr : "");

    return (struct sluice_span){out, (size_t)len < room ? (size_t)len : room - 1};
}

static struct times times_of(const struct sluice_call *call)
{
    int64_t begun_us = call->host->fact(call, SLUICE_FACT_BEGUN_WALL_US);
    int64_t duration_us = call->host->fact(call, SLUICE_FACT_DURATION_US);
    struct times times = {.begun_ns = begun_us > 0 ? (uint64_t)begun_us * 1000 : 0};

    times.ended_ns = times.begun_ns + (duration_us > 0 ? (uint64_t)duration_us * 1000 : 0);
    return times;
}

static void tell_server(const struct sluice_call *call, struct times times)
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    struct sluice_span method = attribute(call, conf->method);
    struct span span = {.call = call, .n = 0};
    struct head head = {.id = ctx->self.span, .kind = KIND_SERVER, .times = times};
    char name[256];
    bool is_known;

    if (ctx->parent.has_ids) {
        head.parent = ctx->parent.span;
        head.flags = FLAG_IS_REMOTE;
    }
    add_method(&span, method, &is_known);
    head.name = name_of(call, is_known ? method : SLUICE_SPAN("HTTP"), name, sizeof(name));
    add_message(&span);
    add_outcome(&span);
    add_extras(&span);
    if (!ctx->is_sampled)
        add_text(&span, SLUICE_SPAN("sluice.sampled_by"), SLUICE_SPAN("errors"));
    send(&span, &head);
}

/* -- client spans ---------------------------------------------------------------------------- */

/* now_us() and the wall clock go together, as of the exchange's beginning. */
static struct times times_of_attempt(const struct sluice_call *call,
                                     const struct trace_attempt *attempt, struct times whole)
{
    int64_t begun_us = call->host->fact(call, SLUICE_FACT_BEGUN_US);
    struct times times = whole;

    if (begun_us >= 0 && attempt->begun_us > (uint64_t)begun_us)
        times.begun_ns += (attempt->begun_us - (uint64_t)begun_us) * 1000;
    if (attempt->is_done)
        times.ended_ns = times.begun_ns + attempt->duration_us * 1000;
    if (times.ended_ns < times.begun_ns)
        times.ended_ns = times.begun_ns;
    return times;
}

static void tell_client(const struct sluice_call *call, const struct trace_attempt *attempt,
                        struct times times)
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    struct sluice_span method = attribute(call, conf->method);
    struct sluice_span endpoint =
        attempt->endpoint.len > 0 ? attempt->endpoint : attribute(call, conf->endpoint);
    struct span span = {.call = call, .n = 0};
    struct head head = {
        .id = attempt->span, .parent = ctx->self.span, .kind = KIND_CLIENT, .times = times};
    bool is_known;

    add_method(&span, method, &is_known);
    head.name = is_known ? method : SLUICE_SPAN("HTTP");
    add_address(&span, endpoint, SLUICE_SPAN("server.address"), SLUICE_SPAN("server.port"));
    add_text(&span, SLUICE_SPAN("sluice.upstream"),
             attempt->upstream.len > 0 ? attempt->upstream : attribute(call, conf->upstream));
    if (attempt->number > 1)
        add_number(&span, SLUICE_SPAN("http.request.resend_count"), attempt->number - 1);
    if (attempt->status > 0)
        add_number(&span, SLUICE_SPAN("http.response.status_code"), attempt->status);
    if (attempt->failure.len > 0 || attempt->status >= 400 || attempt->status <= 0)
        set_error(&span, attempt->failure, attempt->status);
    send(&span, &head);
}

void trace_tell(const struct sluice_call *call)
{
    const struct trace_ctx *ctx = call->ctx;
    struct times times = times_of(call);

    for (const struct trace_attempt *one = ctx->n_attempts > 0 ? &ctx->first : NULL; one;
         one = one->next)
        tell_client(call, one, times_of_attempt(call, one, times));
    tell_server(call, times);
}
