/*
 * attempt_h1.c - HTTP/1 on a connection of the attempt's own.
 */
#include "proxy/attempt_codec.h"

#include "base/check.h"
#include "base/log.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "net/conn_move.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

enum { READS_MAX = 8 /* of one connection in a turn, then others get theirs */ };

static struct attempt *attempt_of(struct conn *conn)
{
    struct lease *lease = lease_of(conn);

    return list_entry(lease, struct attempt, lease);
}

static struct attempt *attempt_of_leg(struct leg *leg)
{
    return list_entry(leg, struct attempt, leg);
}

/* -- beginning and ending ------------------------------------------------- */

void attempt_h1_begin(struct attempt *attempt)
{
    attempt->leg.ops = &attempt_h1_ops;
    conn_make_room(attempt->lease.conn);
    attempt->h1.scan = (struct h1_scan){0};
    attempt->h1.chunked = attempt->h1.in_trailers = false;
    attempt->h1.lost = attempt->h1.unusable = attempt->h1.moved = false;
    if (attempt->lease.connecting) {
        const struct exchange *ex = attempt->ex;

        conn_set_alarm(attempt->lease.conn,
                       ex->view->snapshot->upstreams[ex->target->index].conf->timeout.connect_ms);
    }
}

bool attempt_h1_is_stale(const struct attempt *attempt)
{
    return conn_is_stale(attempt->lease.conn);
}

/* It has failed after the connection stood. */
static void lose(struct attempt *attempt, enum endpoint_failure failure, const char *detail)
{
    bool ended = failure == ENDPOINT_RESET || failure == ENDPOINT_CLOSED;
    bool stale = ended && attempt->lease.reused && !attempt->started;

    attempt_fail(attempt, failure, stale ? ATTEMPT_STALE : ATTEMPT_SENT, detail);
}

static enum endpoint_failure failure_of(enum err err)
{
    return err == ERR_CLOSED ? ENDPOINT_CLOSED : ENDPOINT_RESET;
}

/* A tunnel has no deadline but its exchange's. */
static void set_alarm(struct attempt *attempt, uint64_t ms)
{
    if (attempt->state != ATTEMPT_TUNNEL)
        conn_set_alarm(attempt->lease.conn, ms);
}

/* -- sending -------------------------------------------------------------- */

static enum err send_head(struct leg *leg, const struct leg_head *head)
{
    struct attempt *attempt = attempt_of_leg(leg);
    struct conn *conn = attempt->lease.conn;
    char *out;
    size_t room, n;

    if (head->request->protocol.len > 0 && upgrade_ask(attempt->ex) != OK)
        return ERR_MEMORY;
    room = conn_reserve(conn, &out);
    n = h1_write_request(out, room, head->request, head->target, head->host, head->framing,
                         head->body_bytes, H1_CONNECTION_NONE);
    if (n == 0)
        return ERR_LIMIT;
    conn_wrote(conn, n);
    attempt->sent_us = loop_now_us(attempt->ex->worker->loop);
    attempt->h1.chunked = head->framing == FRAMING_CHUNKED;
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
    if (attempt->h1.chunked)
        conn_put(conn, span_make(line, h1_write_chunk_head(line, sizeof(line), piece.len)));
    conn_lend(conn, piece);
    if (attempt->h1.chunked)
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
    /* As over HTTP/2: an answer may have begun before the request was whole. */
    conn_set_alarm(conn, attempt->state == ATTEMPT_RESPONDING ? attempt->ex->times.idle_ms
                                                              : attempt->ex->times.response_ms);
    if (!attempt->h1.chunked)
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
        attempt->h1.lost = true;
        conn_look(attempt->lease.conn);
    }
    return err;
}

static size_t room(struct leg *leg)
{
    return conn_room(attempt_of_leg(leg)->lease.conn);
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

static void leg_end(struct leg *leg, enum leg_end how)
{
    struct attempt *attempt = attempt_of_leg(leg);
    struct lease *lease = &attempt->lease;

    /* A tunnel that is cut must not look as if the client had ended it. */
    if (attempt->state == ATTEMPT_TUNNEL && (how == LEG_CUT || conn_has_unsent(lease->conn)))
        conn_abort(lease->conn);
    if (how == LEG_KEEP && !attempt->h1.unusable && attempt->state != ATTEMPT_TUNNEL) {
        conn_release(lease->conn, CONN_HOLD_PEER); /* the answer is whole: nobody waits any more */
        lease_return(lease);
    } else {
        lease_discard(lease);
    }
}

static void hand_over(struct leg *leg, struct tunnel *tunnel)
{
    struct attempt *attempt = attempt_of_leg(leg);

    tunnel_take_upstream(tunnel, &attempt->lease, attempt->h1.lost);
    attempt->state = ATTEMPT_NONE;
}

const struct leg_ops attempt_h1_ops = {
    .name = "h1",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .room = room,
    .hold = leg_hold,
    .release = leg_release,
    .hand_over = hand_over,
    .end = leg_end,
};

/* -- receiving -------------------------------------------------------------- */

/* True when there may be more to take from what is unread. */
typedef bool take_fn(struct attempt *attempt, struct sluice_span bytes);

static void malformed(struct attempt *attempt, enum h1_rule rule)
{
    lose(attempt, ENDPOINT_PROTOCOL, h1_rule_text(rule));
}

/* What a head means for the connection, before it is told. */
static void begin(struct attempt *attempt, struct response *response)
{
    struct conn *conn = attempt->lease.conn;

    if (response->status >= 200) {
        attempt->h1.unusable = !response->keep_alive || response->framing == FRAMING_CLOSE;
        h1_body_init(&attempt->h1.body, response->framing, response->body_bytes);
        conn_set_alarm(conn, attempt->ex->times.idle_ms);
    } else if (response->status == 101) {
        conn_set_alarm(conn, 0);
    }
    attempt_on_head(attempt, response);
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
    switch (h1_parse_response(&attempt->h1.scan, bytes, &limits, ex->request.method, &response,
                              &used)) {
    case H1_AGAIN:
        return false;
    case H1_WRONG:
        malformed(attempt, attempt->h1.scan.rule);
        return false;
    case H1_DONE:
        break;
    }
    attempt->h1.scan = (struct h1_scan){0};
    begin(attempt, &response);
    /* The exchange may have ended the attempt. */
    if (attempt->state == ATTEMPT_NONE)
        return false;
    conn_consume(attempt->lease.conn, used);
    return true;
}

/* What was kept goes with its block: a stream that was lent a piece takes it before. */
static void consume(struct attempt *attempt, size_t n)
{
    struct conn *conn = attempt->lease.conn;

    if (conn_gives_back(conn, n))
        exchange_push(attempt->ex);
    conn_consume(conn, n);
}

static bool take_trailers(struct attempt *attempt, struct sluice_span bytes)
{
    struct exchange *ex = attempt->ex;
    struct h1_limits limits = {.line_bytes = 8192,
                               .head_bytes = (uint32_t)ex->from.port->conf->limits.head_bytes,
                               .field_count = WORKER_LINES - 64};
    struct fields trailers = {.line = ex->worker->response_lines, .cap = WORKER_LINES};
    size_t used;

    switch (h1_parse_trailers(&attempt->h1.scan, bytes, &limits, &trailers, &used)) {
    case H1_AGAIN:
        return false;
    case H1_WRONG:
        malformed(attempt, attempt->h1.scan.rule);
        return false;
    case H1_DONE:
        break;
    }
    attempt_on_end(attempt, &trailers);
    if (attempt->state != ATTEMPT_NONE)
        consume(attempt, used);
    return false;
}

static bool take_body(struct attempt *attempt, struct sluice_span bytes)
{
    struct exchange *ex = attempt->ex;
    struct sluice_span piece;
    size_t used;
    enum h1_result result;

    if (attempt->h1.in_trailers)
        return take_trailers(attempt, bytes);
    result = h1_body_next(&attempt->h1.body, bytes, &used, &piece);
    if (result == H1_WRONG) {
        malformed(attempt, attempt->h1.body.rule);
        return false;
    }
    if (piece.len > 0)
        exchange_on_response_body(ex, piece);
    /* The exchange may have ended the attempt. */
    if (attempt->state == ATTEMPT_NONE)
        return false;
    consume(attempt, used);
    if (result == H1_AGAIN)
        return used > 0;
    if (attempt->h1.body.framing == FRAMING_CHUNKED) {
        attempt->h1.in_trailers = true;
        return true;
    }
    attempt_on_end(attempt, NULL);
    return false;
}

static bool take_raw(struct attempt *attempt, struct sluice_span bytes)
{
    if (bytes.len == 0)
        return false;
    exchange_on_response_body(attempt->ex, bytes);
    consume(attempt, bytes.len);
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
        lose(attempt, ENDPOINT_RESET, "out of memory");
        return;
    }
    if (attempt->h1.lost) {
        lose(attempt, ENDPOINT_RESET, NULL);
        return;
    }
    conn_hold(conn, CONN_HOLD_TURN);
    attempt_on_end(attempt, NULL);
}

/* The connection ended (err) while the answer was not whole. */
static void on_end(struct attempt *attempt, enum err err)
{
    if (err == ERR_CLOSED && attempt->state == ATTEMPT_TUNNEL) {
        end_side(attempt);
        return;
    }
    if (err == ERR_CLOSED && attempt->state == ATTEMPT_RESPONDING &&
        attempt->h1.body.framing == FRAMING_CLOSE) {
        attempt_on_end(attempt, NULL);
        return;
    }
    if (err == ERR_LIMIT || err == ERR_MEMORY) {
        lose(attempt, ENDPOINT_PROTOCOL, "the response head is too large");
    } else {
        lose(attempt, failure_of(err), NULL);
    }
}

/* All content has been moved: is the connection at rest, for the next exchange? */
static void end_moved(struct attempt *attempt)
{
    conn_moved_all(attempt->lease.conn);
    attempt_on_end(attempt, NULL);
}

/*
 * Content that is long and that nobody looks at goes to the client as it is. ERR_MISSING: it is to
 * be read. What has begun so goes on so: the rest is not worth another way.
 */
static enum err move(struct attempt *attempt)
{
    struct exchange *ex = attempt->ex;
    struct h1_body *body = &attempt->h1.body;
    uint64_t left = h1_body_left(body);
    struct conn *to;
    enum err err;
    size_t n;

    to = left > 0 ? exchange_bare_client(ex, attempt->h1.moved ? UINT64_MAX : left) : NULL;
    if (!to)
        return ERR_MISSING;
    err = conn_move(attempt->lease.conn, to, (size_t)left, &n);
    if (err)
        return err;
    conn_set_alarm(attempt->lease.conn, ex->times.idle_ms);
    exchange_on_response_moved(ex, n, !attempt->h1.moved);
    attempt->h1.moved = true;
    if (h1_body_skip(body, n))
        end_moved(attempt);
    return OK;
}

static enum err read_some(struct attempt *attempt)
{
    struct conn *conn = attempt->lease.conn;
    struct sluice_span bytes;
    enum err err;

    if (attempt->state == ATTEMPT_RESPONDING) {
        err = move(attempt);
        if (err != ERR_MISSING)
            return err;
    }
    err = conn_read_most(conn, leg_read_most(attempt->ex->from.leg), &bytes);
    if (err)
        return err;
    if (attempt->state == ATTEMPT_RESPONDING)
        conn_set_alarm(conn, attempt->ex->times.idle_ms);
    take(attempt);
    return OK;
}

static void read_on(struct attempt *attempt)
{
    struct conn *conn = attempt->lease.conn;
    struct sluice_span bytes = conn_peek(conn);
    enum err err = OK;

    if (bytes.len > 0 || attempt->state == ATTEMPT_RESPONDING)
        take(attempt);
    if (bytes.len > 0)
        exchange_flush(attempt->ex); /* reading on moves what is kept */
    for (unsigned i = 0; i < READS_MAX && !is_over(attempt) && !is_held(attempt); i++) {
        err = read_some(attempt);
        if (err)
            break;
        exchange_flush(attempt->ex);
    }
    if (attempt->state == ATTEMPT_NONE)
        return;
    if (err && err != ERR_AGAIN) {
        on_end(attempt, err);
    } else if (conn_settle(conn, !attempt->whole) != OK) {
        lose(attempt, ENDPOINT_RESET, "out of memory");
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
    lose(attempt, ENDPOINT_RESET, NULL);
    exchange_leave(ex);
}

static void on_drained(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    if (attempt->state == ATTEMPT_CONNECTING) {
        attempt_on_connected(attempt);
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

static void on_failed(struct conn *conn, enum err err)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    if (attempt->state == ATTEMPT_CONNECTING) {
        upstream_say_unshaken(attempt->lease.upstream, attempt->lease.endpoint, tls_failure(conn));
        attempt_fail(attempt, err == ERR_TIMEOUT ? ENDPOINT_CONNECT_TIMEOUT : ENDPOINT_CONNECT,
                     ATTEMPT_UNSENT, NULL);
    } else if (attempt->state == ATTEMPT_TUNNEL && attempt->whole) {
        lose(attempt, ENDPOINT_RESET, NULL);
    } else {
        conn_look(conn);
    }
    exchange_leave(ex);
}

static void on_alarm(struct conn *conn)
{
    struct attempt *attempt = attempt_of(conn);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    attempt_on_silence(attempt);
    exchange_leave(ex);
}

static void on_closed(struct conn *conn)
{
    CHECK(conn == NULL); /* a lease is discarded, never closed by its holder */
}

const struct conn_ops attempt_h1_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = on_closed,
};
