#include "proxy/call_state.h"

#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"
#include "proxy/worker.h"
#include "upstream/endpoint.h"
#include "upstream/outlier.h"
#include "upstream/upstream.h"

#include <string.h>

enum {
    READS_MAX = 8,
    MEMORY_BYTES = 256 * 1024, /* besides what is sent */
};

static const struct conn_ops call_conn_ops;

/* -- ends -------------------------------------------------------------------- */

/* A connection that is being dialled may serve the next one. */
static void let_go(struct call *call)
{
    if (call->state == CALL_CONNECTING) {
        lease_return(&call->lease);
    } else {
        lease_discard(&call->lease);
    }
}

static void call_free(struct call *call)
{
    struct arena arena = call->arena;

    alarm_disarm(&call->deadline);
    soon_cancel(&call->soon);
    let_go(call);
    if (!list_is_empty(&call->lease.batch))
        list_remove(&call->lease.batch);
    text_fini(&call->body);
    arena_fini(&arena);
}

void call_tell(struct call *call)
{
    struct chain_http_answer answer = {.end = call->end, .arena = &call->arena};

    if (call->end == SLUICE_HTTP_OK) {
        answer.response = &call->response;
        answer.body = text_span(&call->body);
    }
    alarm_disarm(&call->deadline);
    call->telling = true;
    call->done(call->arg, &answer);
    call_free(call);
}

static void on_soon(struct soon *soon)
{
    call_tell(list_entry(soon, struct call, soon));
}

void call_end(struct call *call, enum sluice_http_end how)
{
    let_go(call);
    call->state = CALL_OVER;
    call->end = how;
}

static void note_latency(const struct call *call)
{
    if (call->sent_us > 0) {
        endpoint_note_latency(call->lease.endpoint,
                              loop_now_us(call->worker->loop) - call->sent_us);
    }
}

static void on_deadline(struct alarm *alarm)
{
    struct call *call = list_entry(alarm, struct call, deadline);

    if (call->state == CALL_OVER)
        return; /* about to be told */
    if (call->state == CALL_AWAITING) {
        note_latency(call);
        endpoint_note_outcome(call->lease.endpoint, OUTCOME_LOCAL);
        counter_add(&call->lease.endpoint->counters->failures[ENDPOINT_RESPONSE_TIMEOUT], 1);
    }
    call_end(call, SLUICE_HTTP_TIMEOUT);
    call_tell(call);
}

/* -- sending ------------------------------------------------------------------- */

static void send_request(struct call *call)
{
    struct conn *conn = call->lease.conn;
    bool has_body = call->content.len > 0 || call->request.method == METHOD_POST ||
                    call->request.method == METHOD_PUT || call->request.method == METHOD_PATCH;
    struct sluice_span host = call->host;
    size_t room, n;
    char *out;
    enum err err;

    if (host.len == 0) {
        host = call->lease.endpoint->member.text;
        if (span_starts(host, SPAN("unix:")))
            host = SPAN("localhost");
    }
    call->sent_us = loop_now_us(call->worker->loop);
    if (call->lease.mux) {
        call->state = CALL_AWAITING;
        call_h2_send(call, host, has_body);
        return;
    }
    room = conn_reserve(conn, &out);
    n = h1_write_request(out, room, &call->request, call->target, host,
                         has_body ? FRAMING_LENGTH : FRAMING_NONE, (int64_t)call->content.len,
                         H1_CONNECTION_NONE);
    if (n == 0) {
        call_end(call, SLUICE_HTTP_BROKEN);
        return;
    }
    conn_wrote(conn, n);
    conn_lend(conn, call->content);
    call->state = CALL_AWAITING;
    conn_set_alarm(conn, 0); /* the call has its deadline */
    err = conn_flush(conn);
    if (err && err != ERR_AGAIN)
        conn_look(conn); /* it may have answered before it broke */
}

/* -- getting a connection --------------------------------------------------------- */

static bool may_repeat(const struct call *call)
{
    return method_is_idempotent(call->request.method);
}

/* The lease holds a connection now. */
static void hold(struct call *call)
{
    call->scan = (struct h1_scan){0};
    call->n_interim = 0;
    call->sent_us = 0;
    call->in_trailers = call->started = false;
    if (call->lease.connecting) {
        call->state = CALL_CONNECTING;
        conn_set_alarm(call->lease.conn, call->connect_ms);
        return;
    }
    send_request(call);
}

static void cannot_dial(struct call *call)
{
    counter_add(&call->lease.endpoint->counters->failures[ENDPOINT_CONNECT], 1);
    endpoint_note_outcome(call->lease.endpoint, OUTCOME_LOCAL);
    lease_mark_tried(&call->lease);
}

/* Lease until something is to be waited for; the call may be over then. */
static void lease(struct call *call)
{
    for (;;) { /* ends: each turn takes a kept connection or marks an endpoint */
        enum err err = upstream_lease(call->upstream, &call->lease);

        if (err == ERR_AGAIN) {
            call->state = CALL_QUEUED;
            return;
        }
        if (err == OK) {
            if (call->lease.reused && call->lease.conn && !may_repeat(call) &&
                conn_is_stale(call->lease.conn)) {
                lease_discard(&call->lease);
                continue;
            }
            hold(call);
            return;
        }
        if (err == ERR_LIMIT || err == ERR_MISSING || err == ERR_MEMORY)
            break;
        cannot_dial(call);
        if (call->lease.n_tried == LEASE_TRIES)
            break;
    }
    call_end(call, SLUICE_HTTP_UNREACHABLE);
}

static void on_ready(struct lease *its, enum err err)
{
    struct call *call = list_entry(its, struct call, lease);

    if (err == OK) {
        hold(call);
    } else if (!its->dialled && (err == ERR_TIMEOUT || err == ERR_LIMIT || err == ERR_MISSING ||
                                 err == ERR_MEMORY)) {
        call_end(call, SLUICE_HTTP_UNREACHABLE);
    } else {
        cannot_dial(call);
        lease(call);
    }
    if (call->state == CALL_OVER)
        call_tell(call);
}

void call_fail(struct call *call, enum endpoint_failure failure, bool unprocessed)
{
    struct endpoint *endpoint = call->lease.endpoint;
    bool unsent = failure == ENDPOINT_CONNECT || failure == ENDPOINT_CONNECT_TIMEOUT;
    bool ended = failure == ENDPOINT_RESET || failure == ENDPOINT_CLOSED;
    bool stale = unprocessed || (ended && call->lease.reused && !call->started);
    bool again = unsent ? call->lease.n_tried + 1 < LEASE_TRIES
                        : stale && !call->retried && (unprocessed || may_repeat(call));

    if (unsent)
        lease_mark_tried(&call->lease);
    if (!stale) {
        endpoint_note_outcome(endpoint, OUTCOME_LOCAL);
        counter_add(&endpoint->counters->failures[failure], 1);
    }
    lease_discard(&call->lease);
    if (!again) {
        call_end(call, unsent ? SLUICE_HTTP_UNREACHABLE : SLUICE_HTTP_BROKEN);
        return;
    }
    call->retried = call->retried || stale;
    call->lease.fresh = stale && !unprocessed;
    lease(call);
}

/* -- receiving ------------------------------------------------------------------------ */

void call_complete(struct call *call)
{
    call->state = CALL_OVER;
    call->end = SLUICE_HTTP_OK;
}

/* The answer is whole. */
static void complete(struct call *call, bool keep)
{
    call_complete(call);
    call->keeps = keep;
}

/* What was read is settled first: a connection with bytes that may be unread is not kept. */
static void give_back(struct call *call)
{
    struct conn *conn = call->lease.conn;

    if (call->keeps && conn_settle(conn, false) == OK && !conn_has_unsent(conn)) {
        lease_return(&call->lease);
    } else {
        lease_discard(&call->lease);
    }
}

static bool is_kept(const struct call *call)
{
    return call->response.keep_alive && call->framing.framing != FRAMING_CLOSE;
}

void call_begin(struct call *call, struct response *response, struct sluice_span head)
{
    rules_drop_hop_by_hop(&response->fields);
    note_latency(call);
    endpoint_note_outcome(call->lease.endpoint, outcome_of_status(response->status));
    if (response_keep(response, head, &call->arena)) {
        call_end(call, SLUICE_HTTP_TOO_LARGE);
        return;
    }
    call->response = *response;
    call->state = CALL_RECEIVING;
    h1_body_init(&call->framing, response->framing, response->body_bytes);
    if (response->framing == FRAMING_LENGTH && (uint64_t)response->body_bytes > call->body.max)
        call_end(call, SLUICE_HTTP_TOO_LARGE);
}

/* Each take_ function: true when there may be more to take from what is unread. */
static bool take_head(struct call *call, struct sluice_span bytes)
{
    struct h1_limits limits = {
        .line_bytes = 8192, .head_bytes = CALL_HEAD_BYTES, .field_count = CALL_FIELDS_MAX};
    struct response response = {
        .fields = {.line = call->worker->response_lines, .cap = WORKER_LINES}};
    size_t used;
    enum h1_result result;

    call->started = true;
    result = h1_parse_response(&call->scan, bytes, &limits, call->request.method, &response, &used);
    if (result == H1_AGAIN)
        return false;
    call->scan = (struct h1_scan){0};
    if (result == H1_WRONG || response.status == 101 ||
        (response.status < 200 && ++call->n_interim > CALL_INTERIM_MAX)) {
        call_fail(call, ENDPOINT_PROTOCOL, false);
        return false;
    }
    if (response.status >= 200)
        call_begin(call, &response, span_make(bytes.ptr, used));
    if (call->state == CALL_OVER)
        return false;
    conn_consume(call->lease.conn, used);
    return true;
}

static bool take_trailers(struct call *call, struct sluice_span bytes)
{
    struct h1_limits limits = {
        .line_bytes = 8192, .head_bytes = CALL_HEAD_BYTES, .field_count = CALL_FIELDS_MAX};
    struct fields trailers = {.line = call->worker->response_lines, .cap = WORKER_LINES};
    size_t used;
    enum h1_result result = h1_parse_trailers(&call->scan, bytes, &limits, &trailers, &used);

    if (result == H1_WRONG)
        call_fail(call, ENDPOINT_PROTOCOL, false);
    if (result != H1_DONE)
        return false;
    conn_consume(call->lease.conn, used);
    complete(call, is_kept(call));
    return false;
}

static bool take_body(struct call *call, struct sluice_span bytes)
{
    struct sluice_span piece;
    size_t used;
    enum h1_result result;

    if (call->in_trailers)
        return take_trailers(call, bytes);
    result = h1_body_next(&call->framing, bytes, &used, &piece);
    if (result == H1_WRONG) {
        call_fail(call, ENDPOINT_PROTOCOL, false);
        return false;
    }
    text_add(&call->body, piece);
    if (call->body.cut) {
        call_end(call, SLUICE_HTTP_TOO_LARGE);
        return false;
    }
    conn_consume(call->lease.conn, used);
    if (result == H1_AGAIN)
        return used > 0;
    if (call->framing.framing == FRAMING_CHUNKED) {
        call->in_trailers = true;
        return true;
    }
    complete(call, is_kept(call));
    return false;
}

static void take(struct call *call)
{
    bool more = true;

    while (more && call->state != CALL_OVER) {
        struct sluice_span bytes = conn_peek(call->lease.conn);

        if (call->state == CALL_RECEIVING) {
            more = take_body(call, bytes);
        } else {
            more = bytes.len > 0 && take_head(call, bytes);
        }
    }
}

/* The connection ended while the answer was not whole. */
static void on_end(struct call *call, enum err err)
{
    if (err == ERR_CLOSED && call->state == CALL_RECEIVING &&
        call->framing.framing == FRAMING_CLOSE) {
        complete(call, false);
        give_back(call);
    } else if (err == ERR_LIMIT || err == ERR_MEMORY) {
        call_fail(call, ENDPOINT_PROTOCOL, false);
    } else {
        call_fail(call, err == ERR_CLOSED ? ENDPOINT_CLOSED : ENDPOINT_RESET, false);
    }
}

static void read_on(struct call *call)
{
    struct conn *conn = call->lease.conn;
    struct sluice_span bytes;
    enum err err = OK;

    take(call);
    for (unsigned i = 0; i < READS_MAX && call->state != CALL_OVER; i++) {
        err = conn_read(conn, &bytes);
        if (err)
            break;
        take(call);
    }
    if (call->state == CALL_OVER) {
        give_back(call);
    } else if (err && err != ERR_AGAIN) {
        on_end(call, err);
    } else if (conn_settle(conn, true) != OK) {
        call_fail(call, ENDPOINT_RESET, false);
    } else if (err == OK) {
        conn_yield(conn);
    }
}

/* -- events ------------------------------------------------------------------------------ */

static struct call *call_of(struct conn *conn)
{
    return list_entry(lease_of(conn), struct call, lease);
}

static void on_readable(struct conn *conn)
{
    struct call *call = call_of(conn);

    read_on(call);
    if (call->state == CALL_OVER)
        call_tell(call);
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)conn, (void)err; /* never held: reading finds out */
}

static void on_drained(struct conn *conn)
{
    struct call *call = call_of(conn);

    if (call->state != CALL_CONNECTING)
        return;
    send_request(call);
    if (call->state == CALL_OVER)
        call_tell(call);
}

static void on_progress(struct conn *conn)
{
    (void)conn;
}

static void on_failed(struct conn *conn, enum err err)
{
    struct call *call = call_of(conn);

    if (call->state != CALL_CONNECTING) {
        conn_look(conn);
        return;
    }
    call_fail(call, err == ERR_TIMEOUT ? ENDPOINT_CONNECT_TIMEOUT : ENDPOINT_CONNECT, false);
    if (call->state == CALL_OVER)
        call_tell(call);
}

static void on_alarm(struct conn *conn)
{
    struct call *call = call_of(conn);

    call_fail(call, ENDPOINT_CONNECT_TIMEOUT, false);
    if (call->state == CALL_OVER)
        call_tell(call);
}

static void on_closed(struct conn *conn)
{
    CHECK(conn == NULL); /* a lease is discarded, never closed by its holder */
}

static const struct conn_ops call_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = on_closed,
};

/* -- life ---------------------------------------------------------------------------------- */

/* The request's head, in the arena. */
static enum err keep_request(struct call *call, const struct call_way *way,
                             const struct chain_http_request *request)
{
    struct arena *arena = &call->arena;
    struct fields *fields = &call->request.fields;

    call->request.method_text = arena_copy(arena, request->method);
    call->request.method = method_find(call->request.method_text);
    call->target = arena_copy(arena, request->target);
    call->host = arena_copy(arena, request->host.len > 0 ? request->host : way->host);
    call->content = arena_copy(arena, request->body);
    fields->line = arena_try(arena, (request->n_fields + 1) * sizeof(*fields->line));
    fields->cap = (uint16_t)(request->n_fields + 1);
    if (!call->request.method_text.ptr || !call->target.ptr || !call->host.ptr ||
        !call->content.ptr || !fields->line)
        return ERR_MEMORY;
    for (size_t i = 0; i < request->n_fields; i++) {
        struct sluice_span name = arena_copy(arena, request->fields[i].name);
        struct sluice_span value = arena_copy(arena, request->fields[i].value);
        enum err err = name.ptr && value.ptr ? fields_add(fields, name, value) : ERR_MEMORY;

        if (err)
            return err;
    }
    if (call->host.len > 0)
        fields_remove(fields, SPAN("host"));
    rules_drop_hop_by_hop(fields);
    return OK;
}

/* Nothing that could end the line that it is written to. */
static bool is_line_part(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static bool is_token(struct sluice_span text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], lower = (char)(c | 0x20);

        if ((c < '0' || c > '9') && (lower < 'a' || lower > 'z') && (!c || !strchr(others, c)))
            return false;
    }
    return text.len > 0;
}

static bool is_sound(const struct chain_http_request *request)
{
    return is_token(request->method) && !span_equal(request->method, SPAN("CONNECT")) &&
           span_starts(request->target, SPAN("/")) && is_line_part(request->target) &&
           is_line_part(request->host) && request->n_fields <= CALL_FIELDS_MAX &&
           request->body.len <= CALL_SENT_MAX;
}

struct call *call_start(struct worker *worker, const struct call_way *way,
                        const struct chain_http_request *request, chain_http_fn *done, void *arg)
{
    struct arena arena;
    struct call *call;

    if (!is_sound(request))
        return NULL;
    arena_init(&arena, &worker->chunks, MEMORY_BYTES + request->body.len);
    call = arena_try(&arena, sizeof(*call));
    if (!call) {
        arena_fini(&arena);
        return NULL;
    }
    call->arena = arena;
    call->worker = worker;
    call->upstream = way->upstream;
    call->connect_ms = way->connect_ms;
    call->done = done;
    call->arg = arg;
    text_init(&call->body, request->max_body);
    lease_init(&call->lease, &call_conn_ops, on_ready);
    call->lease.streams = &call_stream_ops;
    alarm_init(&call->deadline, on_deadline);
    soon_init(&call->soon, on_soon);
    if (keep_request(call, way, request)) {
        call_free(call);
        return NULL;
    }
    alarm_arm(worker->loop, &call->deadline, request->total_ms);
    lease(call);
    if (call->state == CALL_OVER)
        loop_soon(worker->loop, &call->soon);
    return call;
}

void call_cancel(struct call **call)
{
    struct call *old = *call;

    *call = NULL;
    if (old && !old->telling)
        call_free(old);
}
