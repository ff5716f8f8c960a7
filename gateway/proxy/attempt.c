#include "proxy/attempt.h"

#include "base/check.h"
#include "base/log.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"
#include "proxy/exchange_chain.h"
#include "proxy/retry.h"
#include "proxy/worker.h"
#include "upstream/outlier.h"

enum {
    READS_MAX = 8,     /* of one connection in a turn, then others get theirs */
    INTERIM_MAX = 100, /* 1xx heads before the final one */
};

static const struct conn_ops attempt_conn_ops;
static const struct leg_ops attempt_leg_ops;

static struct attempt *attempt_of(struct conn *conn)
{
    struct lease *lease = lease_of(conn);

    return list_entry(lease, struct attempt, lease);
}

static struct attempt *attempt_of_leg(struct leg *leg)
{
    return list_entry(leg, struct attempt, leg);
}

/* -- ends ------------------------------------------------------------- */

void attempt_end(struct attempt *attempt)
{
    bool ended = attempt->whole && attempt->write_over;
    bool whole = ended && !attempt->unusable;

    /* A tunnel that is cut must not look as if the client had ended it. */
    if (attempt->state == ATTEMPT_TUNNEL && (!ended || conn_has_unsent(attempt->lease.conn)))
        conn_abort(attempt->lease.conn);
    if (attempt->told) /* nobody has said why: it is not wanted any more */
        exchange_chain_attempt_done(attempt->ex, attempt, 0, REASON_NONE, false);
    attempt->state = ATTEMPT_NONE;
    attempt->whole = false;
    if (whole) {
        lease_return(&attempt->lease);
    } else {
        lease_discard(&attempt->lease);
    }
}

bool attempt_is_over(const struct attempt *attempt)
{
    return attempt->state == ATTEMPT_NONE || attempt->whole;
}

bool attempt_is_queued(const struct attempt *attempt)
{
    return attempt->state == ATTEMPT_WAITING;
}

static enum reason reason_of(enum endpoint_failure failure)
{
    static const enum reason reasons[] = {
        [ENDPOINT_CONNECT] = REASON_CONNECT_FAILED,
        [ENDPOINT_CONNECT_TIMEOUT] = REASON_CONNECT_TIMEOUT,
        [ENDPOINT_RESET] = REASON_UPSTREAM_RESET,
        [ENDPOINT_CLOSED] = REASON_UPSTREAM_CLOSED,
        [ENDPOINT_PROTOCOL] = REASON_UPSTREAM_PROTOCOL,
        [ENDPOINT_RESPONSE_TIMEOUT] = REASON_RESPONSE_TIMEOUT,
        [ENDPOINT_IDLE_TIMEOUT] = REASON_UPSTREAM_IDLE_TIMEOUT,
    };

    return reasons[failure];
}

/* The rules of balancing may go by how long an endpoint takes. */
static void note_latency(const struct attempt *attempt)
{
    uint64_t now = loop_now_us(attempt->ex->worker->loop);

    if (attempt->sent_us > 0)
        endpoint_note_latency(attempt->lease.endpoint, now - attempt->sent_us);
}

static void fail(struct attempt *attempt, enum endpoint_failure failure, const char *detail)
{
    bool unsent = failure == ENDPOINT_CONNECT || failure == ENDPOINT_CONNECT_TIMEOUT;
    bool ended = failure == ENDPOINT_RESET || failure == ENDPOINT_CLOSED;
    enum attempt_loss loss = ATTEMPT_SENT;
    struct endpoint_counters *counters = attempt->lease.endpoint->counters;

    if (unsent) {
        loss = ATTEMPT_UNSENT;
    } else if (ended && attempt->lease.reused && !attempt->started) {
        loss = ATTEMPT_STALE;
    }
    if (loss != ATTEMPT_STALE)
        lease_mark_tried(&attempt->lease);
    if (failure == ENDPOINT_RESPONSE_TIMEOUT)
        note_latency(attempt);
    if (loss != ATTEMPT_STALE)
        endpoint_note_outcome(attempt->lease.endpoint, OUTCOME_LOCAL);
    attempt->state = ATTEMPT_NONE;
    lease_discard(&attempt->lease);
    /* That a kept connection had ended says nothing about the endpoint, if nobody noticed. */
    if (!exchange_on_attempt_failed(attempt->ex, attempt, reason_of(failure), detail, loss) ||
        loss != ATTEMPT_STALE)
        counter_add(&counters->failures[failure], 1);
}

/* A tunnel has no deadline but its exchange's. */
static void set_alarm(struct attempt *attempt, uint64_t ms)
{
    if (attempt->state != ATTEMPT_TUNNEL)
        conn_set_alarm(attempt->lease.conn, ms);
}

static enum endpoint_failure failure_of(enum err err)
{
    return err == ERR_CLOSED ? ENDPOINT_CLOSED : ENDPOINT_RESET;
}

/* -- getting a connection ----------------------------------------------- */

static void on_ready(struct lease *lease, enum err err);

void attempt_init(struct attempt *attempt, struct exchange *ex)
{
    attempt->leg.ops = &attempt_leg_ops;
    attempt->ex = ex;
    attempt->state = ATTEMPT_NONE;
    attempt->whole = false;
    attempt->told = NULL;
    attempt->request = NULL;
    lease_init(&attempt->lease, &attempt_conn_ops, on_ready);
}

static enum reason reason_of_lease(enum err err)
{
    if (err == ERR_LIMIT)
        return REASON_UPSTREAM_FULL;
    if (err == ERR_TIMEOUT)
        return REASON_QUEUE_TIMEOUT;
    if (err == ERR_MISSING)
        return REASON_NO_ENDPOINT;
    return err == ERR_MEMORY ? REASON_OVERLOAD : REASON_CONNECT_FAILED;
}

/*
 * Content that is sent cannot be sent again, and what is not idempotent must not be: look before
 * using a kept connection.
 */
static bool must_look(const struct exchange *ex)
{
    return request_has_content(&ex->request) || !method_is_idempotent(ex->request.method);
}

/* The lease holds a connection now: OK when it stands, ERR_AGAIN while it is being dialled. */
static enum err hold(struct attempt *attempt)
{
    struct exchange *ex = attempt->ex;

    attempt->scan = (struct h1_scan){0};
    attempt->n_interim = 0;
    attempt->sent_us = 0;
    attempt->chunked = attempt->in_trailers = attempt->whole = false;
    attempt->write_over = attempt->unusable = attempt->started = false;
    attempt->lost = false;
    ex->tries++;
    if (attempt == ex->attempt) {
        exchange_note_leader(ex);
        if (ex->target->retry->per_try_ms > 0)
            retry_on_try(ex);
    }
    if (attempt->lease.connecting) {
        attempt->state = ATTEMPT_CONNECTING;
        conn_set_alarm(attempt->lease.conn,
                       ex->view->snapshot->upstreams[ex->target->index].conf->timeout.connect_ms);
        return ERR_AGAIN;
    }
    attempt->state = ATTEMPT_AWAITING;
    return OK;
}

/* The chosen endpoint could not even be dialled. */
static void cannot_dial(struct attempt *attempt)
{
    attempt->ex->tries++;
    counter_add(&attempt->lease.endpoint->counters->failures[ENDPOINT_CONNECT], 1);
    endpoint_note_outcome(attempt->lease.endpoint, OUTCOME_LOCAL);
    lease_mark_tried(&attempt->lease);
    if (attempt->ex->chain)
        exchange_chain_attempt_lost(attempt->ex, attempt);
}

/* The chosen endpoint could not be dialled: may another one be? */
static bool may_dial_on(struct attempt *attempt, struct upstream *upstream, enum reason reason)
{
    struct exchange *ex = attempt->ex;
    bool may = attempt == ex->attempt && retry_may_dial_on(ex);

    if (attempt == ex->attempt)
        ex->reason = reason;
    if (ex->chain) {
        exchange_chain_attempt_done(ex, attempt, 0, reason,
                                    may && upstream_has_untried(upstream, &attempt->lease));
    }
    return may;
}

enum err attempt_start(struct attempt *attempt, struct upstream *upstream, enum reason *reason)
{
    for (;;) {
        enum err err = upstream_lease(upstream, &attempt->lease);

        if (err == ERR_AGAIN) {
            attempt->state = ATTEMPT_WAITING;
            return err;
        }
        if (err == OK) {
            if (!attempt->lease.reused || !must_look(attempt->ex) ||
                !conn_is_stale(attempt->lease.conn))
                return hold(attempt);
            lease_discard(&attempt->lease);
            continue; /* each turn takes one from the pool, so this ends */
        }
        *reason = reason_of_lease(err);
        if (err == ERR_LIMIT || err == ERR_MISSING || err == ERR_MEMORY)
            return err;
        cannot_dial(attempt);
        if (!may_dial_on(attempt, upstream, *reason))
            return err;
    }
}

static void on_ready(struct lease *lease, enum err err)
{
    struct attempt *attempt = list_entry(lease, struct attempt, lease);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    attempt->state = ATTEMPT_NONE;
    if (err == ERR_TIMEOUT || err == ERR_MISSING || err == ERR_MEMORY) {
        exchange_refuse(ex, reason_of_lease(err), NULL);
    } else if (err) {
        cannot_dial(attempt);
        exchange_on_attempt_failed(ex, attempt, REASON_CONNECT_FAILED, NULL, ATTEMPT_UNSENT);
    } else {
        err = hold(attempt);
        if ((!ex->chain || exchange_chain_attempt(ex, attempt)) && err == OK)
            exchange_on_connected(ex, attempt);
    }
    exchange_leave(ex);
}

/* -- sending -------------------------------------------------------------- */

static enum err send_head(struct leg *leg, const struct leg_head *head)
{
    struct attempt *attempt = attempt_of_leg(leg);
    struct conn *conn = attempt->lease.conn;
    char *out;
    size_t room = conn_reserve(conn, &out);
    size_t n = h1_write_request(out, room, head->request, head->target, head->host, head->framing,
                                head->body_bytes, H1_CONNECTION_NONE);

    if (n == 0)
        return ERR_LIMIT;
    conn_wrote(conn, n);
    attempt->sent_us = loop_now_us(attempt->ex->worker->loop);
    attempt->chunked = head->framing == FRAMING_CHUNKED;
    conn_set_alarm(conn, attempt->ex->times.idle_ms);
    return OK;
}

static void send_body(struct leg *leg, struct sluice_span piece)
{
    struct attempt *attempt = attempt_of_leg(leg);
    struct conn *conn = attempt->lease.conn;
    char line[24];

    if (piece.len == 0)
        return;
    if (attempt->chunked)
        conn_put(conn, span_make(line, h1_write_chunk_head(line, sizeof(line), piece.len)));
    conn_lend(conn, piece);
    if (attempt->chunked)
        conn_put(conn, SPAN("\r\n"));
    set_alarm(attempt, attempt->ex->times.idle_ms);
}

static void send_end(struct leg *leg, const struct fields *trailers)
{
    struct attempt *attempt = attempt_of_leg(leg);
    struct conn *conn = attempt->lease.conn;
    char *out;
    size_t room, n;

    attempt->write_over = true;
    if (attempt->state == ATTEMPT_TUNNEL) {
        conn_shut_write(conn);
        return;
    }
    attempt->sent_us = loop_now_us(attempt->ex->worker->loop);
    conn_set_alarm(conn, attempt->ex->times.response_ms);
    if (!attempt->chunked)
        return;
    room = conn_reserve(conn, &out);
    n = h1_write_last_chunk(out, room, trailers);
    if (n == 0)
        n = h1_write_last_chunk(out, room, NULL); /* trailers that do not fit are left out */
    conn_wrote(conn, n);
}

static enum err flush(struct leg *leg)
{
    struct attempt *attempt = attempt_of_leg(leg);
    enum err err = conn_flush(attempt->lease.conn);

    /* It cannot take more, but it may have answered before it ended: reading tells. */
    if (err && err != ERR_AGAIN) {
        attempt->lost = true;
        conn_look(attempt->lease.conn);
    }
    return err;
}

static void leg_hold(struct leg *leg)
{
    conn_hold(attempt_of_leg(leg)->lease.conn, CONN_HOLD_PEER);
}

static void leg_release(struct leg *leg)
{
    struct attempt *attempt = attempt_of_leg(leg);

    set_alarm(attempt, attempt->ex->times.idle_ms);
    conn_release(attempt->lease.conn, CONN_HOLD_PEER);
    /* What was read may hold the end already, and then nothing more comes. */
    if (attempt->state == ATTEMPT_RESPONDING && !attempt->whole)
        conn_yield(attempt->lease.conn);
}

static const struct leg_ops attempt_leg_ops = {
    .name = "h1",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .hold = leg_hold,
    .release = leg_release,
};

/* -- receiving -------------------------------------------------------------- */

/* True when there may be more to take from what is unread. */
typedef bool take_fn(struct attempt *attempt, struct sluice_span bytes);

static void malformed(struct attempt *attempt, enum h1_rule rule)
{
    fail(attempt, ENDPOINT_PROTOCOL, h1_rule_text(rule));
}

static void begin_response(struct attempt *attempt, struct response *response)
{
    note_latency(attempt);
    endpoint_note_outcome(attempt->lease.endpoint, outcome_of_status(response->status));
    attempt->state = ATTEMPT_RESPONDING;
    attempt->unusable = !response->keep_alive || response->framing == FRAMING_CLOSE;
    h1_body_init(&attempt->body, response->framing, response->body_bytes);
    conn_set_alarm(attempt->lease.conn, attempt->ex->times.idle_ms);
    exchange_on_response(attempt->ex, attempt, response);
}

/* Its endpoint has left, and the time that tunnels have after that is over. */
static void on_end_tunnel(struct lease *lease)
{
    struct exchange *ex = list_entry(lease, struct attempt, lease)->ex;

    exchange_enter(ex);
    exchange_refuse(ex, REASON_TUNNEL_DRAINED, NULL);
    exchange_leave(ex);
}

static void begin_tunnel(struct attempt *attempt, struct response *response)
{
    attempt->unusable = true;
    attempt->write_over = false;
    conn_set_alarm(attempt->lease.conn, 0);
    rules_drop_hop_by_hop(&response->fields);
    attempt->state = ATTEMPT_TUNNEL;
    lease_note_tunnel(&attempt->lease, on_end_tunnel);
    exchange_on_tunnel(attempt->ex, response);
}

static void begin_interim(struct attempt *attempt, struct response *response)
{
    if (++attempt->n_interim > INTERIM_MAX) {
        fail(attempt, ENDPOINT_PROTOCOL, "too many interim responses");
        return;
    }
    rules_drop_hop_by_hop(&response->fields);
    exchange_on_interim(attempt->ex, response);
}

/* What a whole head means. */
static void begin(struct attempt *attempt, struct response *response)
{
    if (response->status == 101 && upgrade_is_granted(response, attempt->ex->request.upgrade)) {
        begin_tunnel(attempt, response);
    } else if (response->status == 101) {
        fail(attempt, ENDPOINT_PROTOCOL, "101 without being asked to switch");
    } else if (response->status < 200) {
        begin_interim(attempt, response);
    } else {
        rules_drop_hop_by_hop(&response->fields);
        begin_response(attempt, response);
    }
}

static bool take_head(struct attempt *attempt, struct sluice_span bytes)
{
    struct exchange *ex = attempt->ex;
    struct h1_limits limits = {.line_bytes = 8192,
                               .head_bytes = (uint32_t)ex->from.port->conf->limits.head_bytes,
                               .field_count = WORKER_LINES - 64};
    struct response response;
    size_t used;

    response.fields.line = ex->worker->response_lines;
    response.fields.cap = WORKER_LINES;
    response.fields.arena = NULL;
    attempt->started = true;
    switch (
        h1_parse_response(&attempt->scan, bytes, &limits, ex->request.method, &response, &used)) {
    case H1_AGAIN:
        return false;
    case H1_WRONG:
        malformed(attempt, attempt->scan.rule);
        return false;
    case H1_DONE:
        break;
    }
    attempt->scan = (struct h1_scan){0};
    begin(attempt, &response);
    /* The exchange may have ended the attempt. */
    if (attempt->state == ATTEMPT_NONE)
        return false;
    conn_consume(attempt->lease.conn, used);
    return true;
}

static bool take_trailers(struct attempt *attempt, struct sluice_span bytes)
{
    struct exchange *ex = attempt->ex;
    struct h1_limits limits = {.line_bytes = 8192,
                               .head_bytes = (uint32_t)ex->from.port->conf->limits.head_bytes,
                               .field_count = WORKER_LINES - 64};
    struct fields trailers = {.line = ex->worker->response_lines, .cap = WORKER_LINES};
    size_t used;

    switch (h1_parse_trailers(&attempt->scan, bytes, &limits, &trailers, &used)) {
    case H1_AGAIN:
        return false;
    case H1_WRONG:
        malformed(attempt, attempt->scan.rule);
        return false;
    case H1_DONE:
        break;
    }
    attempt->whole = true;
    exchange_on_response_end(ex, &trailers);
    if (attempt->state != ATTEMPT_NONE)
        conn_consume(attempt->lease.conn, used);
    return false;
}

static bool take_body(struct attempt *attempt, struct sluice_span bytes)
{
    struct exchange *ex = attempt->ex;
    struct sluice_span piece;
    size_t used;
    enum h1_result result;

    if (attempt->in_trailers)
        return take_trailers(attempt, bytes);
    result = h1_body_next(&attempt->body, bytes, &used, &piece);
    if (result == H1_WRONG) {
        malformed(attempt, attempt->body.rule);
        return false;
    }
    if (piece.len > 0)
        exchange_on_response_body(ex, piece);
    /* The exchange may have ended the attempt. */
    if (attempt->state == ATTEMPT_NONE)
        return false;
    conn_consume(attempt->lease.conn, used);
    if (result == H1_AGAIN)
        return used > 0;
    if (attempt->body.framing == FRAMING_CHUNKED) {
        attempt->in_trailers = true;
        return true;
    }
    attempt->whole = true;
    exchange_on_response_end(ex, NULL);
    return false;
}

static bool take_raw(struct attempt *attempt, struct sluice_span bytes)
{
    if (bytes.len == 0)
        return false;
    exchange_on_response_body(attempt->ex, bytes);
    conn_consume(attempt->lease.conn, bytes.len);
    return true;
}

/* Nobody takes more of it now. */
static bool is_held(const struct attempt *attempt)
{
    return (attempt->lease.conn->holds & CONN_HOLD_PEER) != 0;
}

/* Take all that can be taken from the unread bytes. */
static void take(struct attempt *attempt)
{
    bool more = true;

    while (more && attempt->state != ATTEMPT_NONE && !attempt->whole && !is_held(attempt)) {
        struct sluice_span bytes = conn_peek(attempt->lease.conn);

        if (attempt->state == ATTEMPT_RESPONDING) {
            more = take_body(attempt, bytes);
        } else if (attempt->state == ATTEMPT_TUNNEL) {
            more = take_raw(attempt, bytes);
        } else {
            more = bytes.len > 0 && take_head(attempt, bytes);
        }
    }
}

/* Nothing more is to be read for this exchange. */
static bool is_over(const struct attempt *attempt)
{
    return attempt->state == ATTEMPT_NONE || attempt->whole || attempt->ex->state == EX_DONE;
}

/* The upstream has ended its side of a tunnel; the connection lives on for the client's. */
static void end_side(struct attempt *attempt)
{
    struct conn *conn = attempt->lease.conn;

    if (conn_settle(conn, false) != OK) {
        fail(attempt, ENDPOINT_RESET, "out of memory");
        return;
    }
    if (attempt->lost) {
        fail(attempt, ENDPOINT_RESET, NULL);
        return;
    }
    attempt->whole = true;
    conn_hold(conn, CONN_HOLD_TURN);
    exchange_on_response_end(attempt->ex, NULL);
}

/* The connection ended (err) while the answer was not whole. */
static void on_end(struct attempt *attempt, enum err err)
{
    if (err == ERR_CLOSED && attempt->state == ATTEMPT_TUNNEL) {
        end_side(attempt);
        return;
    }
    if (err == ERR_CLOSED && attempt->state == ATTEMPT_RESPONDING &&
        attempt->body.framing == FRAMING_CLOSE) {
        attempt->whole = true;
        exchange_on_response_end(attempt->ex, NULL);
        return;
    }
    if (err == ERR_LIMIT || err == ERR_MEMORY) {
        fail(attempt, ENDPOINT_PROTOCOL, "the response head is too large");
    } else {
        fail(attempt, failure_of(err), NULL);
    }
}

static void read_on(struct attempt *attempt)
{
    struct conn *conn = attempt->lease.conn;
    struct sluice_span bytes = conn_peek(conn);
    enum err err = OK;

    if (bytes.len > 0 || attempt->state == ATTEMPT_RESPONDING)
        take(attempt);
    for (unsigned i = 0; i < READS_MAX && !is_over(attempt) && !is_held(attempt); i++) {
        err = conn_read(conn, &bytes);
        if (err)
            break;
        if (attempt->state == ATTEMPT_RESPONDING)
            conn_set_alarm(conn, attempt->ex->times.idle_ms);
        take(attempt);
        exchange_flush(attempt->ex);
    }
    if (attempt->state == ATTEMPT_NONE)
        return;
    if (err && err != ERR_AGAIN) {
        on_end(attempt, err);
    } else if (conn_settle(conn, !attempt->whole) != OK) {
        fail(attempt, ENDPOINT_RESET, "out of memory");
    } else if (err == OK && !is_over(attempt) && !is_held(attempt)) {
        conn_yield(conn);
    }
}

/* -- events ------------------------------------------------------------------ */

static void on_readable(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    read_on(attempt);
    exchange_leave(ex);
}

static void on_hangup(struct conn *conn, enum err err)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    /* Else the bytes that came before it are read first, then it shows again. */
    if (attempt->state != ATTEMPT_TUNNEL || !attempt->whole)
        return;
    if (err == ERR_CLOSED && !conn_is_reset(conn))
        return; /* that is known */
    exchange_enter(ex);
    fail(attempt, ENDPOINT_RESET, NULL);
    exchange_leave(ex);
}

static void on_drained(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    if (attempt->state == ATTEMPT_CONNECTING) {
        attempt->state = ATTEMPT_AWAITING;
        exchange_on_connected(ex, attempt);
    } else {
        bool awaits_head = attempt->write_over && attempt->state == ATTEMPT_AWAITING;

        set_alarm(attempt, awaits_head ? ex->times.response_ms : ex->times.idle_ms);
        exchange_on_up_drained(ex);
    }
    exchange_leave(ex);
}

static void on_progress(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);

    set_alarm(attempt, attempt->ex->times.idle_ms);
}

/* Often a certificate: nothing that the client is to be told, and a person has to know. */
static void say_unshaken(const struct attempt *attempt)
{
    struct log_gate *gate = &attempt->ex->worker->crew->unshaken_gate;
    const struct endpoint *endpoint = attempt->lease.endpoint;
    struct sluice_span cause = tls_failure(attempt->lease.conn);

    if (cause.len > 0 && log_gate_pass(gate)) {
        log_warn("TLS handshake with an endpoint failed",
                 F_STR("upstream", attempt->lease.upstream->name),
                 F_SPAN("endpoint", endpoint->member.text), F_SPAN("cause", cause));
    }
}

static void on_failed(struct conn *conn, enum err err)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    if (attempt->state == ATTEMPT_CONNECTING) {
        say_unshaken(attempt);
        fail(attempt, err == ERR_TIMEOUT ? ENDPOINT_CONNECT_TIMEOUT : ENDPOINT_CONNECT, NULL);
    } else if (attempt->state == ATTEMPT_TUNNEL && attempt->whole) {
        fail(attempt, ENDPOINT_RESET, NULL);
    } else {
        conn_look(conn);
    }
    exchange_leave(ex);
}

void attempt_expire(struct attempt *attempt)
{
    enum endpoint_failure failure = ENDPOINT_IDLE_TIMEOUT;

    if (attempt->state == ATTEMPT_CONNECTING) {
        failure = ENDPOINT_CONNECT_TIMEOUT;
    } else if (attempt->state == ATTEMPT_AWAITING && attempt->write_over) {
        failure = ENDPOINT_RESPONSE_TIMEOUT;
    }
    fail(attempt, failure, NULL);
}

static void on_alarm(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    if (ex->up_held)
        return; /* it is the client who is slow, and has a deadline of its own */
    if (attempt->state == ATTEMPT_AWAITING && !attempt->write_over && !ex->down_held)
        return; /* the same */
    exchange_enter(ex);
    attempt_expire(attempt);
    exchange_leave(ex);
}

static void on_closed(struct conn *conn)
{
    CHECK(conn == NULL); /* a lease is discarded, never closed by its holder */
}

static const struct conn_ops attempt_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = on_closed,
};
