/*
 * session_h1.c - HTTP/1.1 and HTTP/1.0 on a downstream connection: one exchange at a time.
 *
 * While an exchange has its whole request, pipelined bytes wait unread; when it becomes a tunnel,
 * they and all that follow are content.
 */
#include "proxy/session_state.h"

#include "http/h1_body.h"
#include "http/h1_write.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

enum {
    READS_MAX = 8, /* of one connection in a turn, then others get theirs */
    SKIP_MAX_BYTES =
        256 * 1024, /* of content nobody wants; beyond it a new connection is cheaper */
};

/* What a session needs only while an exchange is in progress; lives in its arena. */
struct downstream {
    struct leg leg;
    struct session *session;
    struct h1_body body; /* of the request */
    struct h1_scan trailers;
    enum framing framing;  /* of the response's content */
    int64_t skipped_bytes; /* content that nobody wanted */
    /* by the client when the write alarm last rang; 0: not since it took some */
    uint32_t untaken_bytes;
    bool in_trailers;
    bool whole;      /* the request has been read to its end */
    bool wants_keep; /* the client does not mind another request on this connection */
    bool waits;      /* for 100 Continue before it sends content */
    bool is_http_1_0;
    bool sends_no_content; /* HEAD: the response has none whatever its head says */
    bool tunnel;           /* raw bytes both ways; whole: the client has ended its side */
};

static const struct conn_ops h1_ops;
static const struct leg_ops session_leg_ops;

static struct session *session_of(struct conn *conn)
{
    return (struct session *)(void *)conn;
}

static struct downstream *down_of(struct leg *leg)
{
    return list_entry(leg, struct downstream, leg);
}

/* While an exchange goes on. A tunnel has no deadline but its exchange's. */
static void set_alarm(struct session *session, uint64_t ms)
{
    session->looks = false;
    if (!session->down || !session->down->tunnel)
        conn_set_alarm(&session->conn, ms);
}

/* The request is whole, and its client has nothing more to say. */
static void await_answer(struct session *session)
{
    set_alarm(session, SESSION_LOOK_MS);
    session->looks = true;
}

/* Nothing is asked for, and for so long nothing need be. */
static void begin_idle(struct session *session, uint64_t ms)
{
    session_enter(session, SESSION_IDLE);
    session->idle_since_us = loop_now_us(session->conn.loop);
    if (!session->looks || ms < SESSION_LOOK_MS) /* else the rest follows when that rings */
        set_alarm(session, ms);
}

void session_h1_begin(struct session *session)
{
    conn_set_ops(&session->conn, &h1_ops);
    begin_idle(session, session_conf(session)->timeout.head_ms);
}

void session_h1_cut(struct session *session, enum reason reason)
{
    struct exchange *ex = session->exchange;

    if (!ex)
        return;
    exchange_enter(ex);
    exchange_on_client_gone(ex, reason);
    exchange_leave(ex);
}

/* -- reading a head -------------------------------------------------------- */

static struct downstream *downstream_new(struct session *session, struct exchange *ex,
                                         struct exchange_from *from)
{
    struct downstream *down = arena_try(&ex->arena, sizeof(*down));

    if (!down)
        return NULL;
    down->leg.ops = &session_leg_ops;
    conn_make_room(&session->conn);
    down->session = session;
    session->requests++;
    session->exchange = ex;
    session->down = down;
    *from = session_origin(session);
    from->leg = &down->leg;
    session_enter(session, SESSION_EXCHANGE);
    return down;
}

/* A new exchange, or NULL and the connection closed: there is no memory even for an answer. */
static struct downstream *begin(struct session *session, struct exchange_from *from)
{
    struct exchange *ex = exchange_new(session->port);
    struct downstream *down = ex ? downstream_new(session, ex, from) : NULL;

    if (!down) {
        if (ex)
            exchange_forget(ex);
        conn_close(&session->conn);
    }
    return down;
}

static void begin_refused(struct session *session, enum reason reason, const char *detail)
{
    struct exchange_from from;
    struct downstream *down = begin(session, &from);

    if (!down)
        return;
    session->last = true;
    down->whole = true;
    conn_hold(&session->conn, CONN_HOLD_TURN);
    exchange_enter(session->exchange);
    exchange_take_refused(session->exchange, &from, reason, detail);
    exchange_leave(session->exchange);
}

static void refuse_head(struct session *session)
{
    enum h1_rule rule = session->scan.rule;

    begin_refused(session, session_reason_of_rule(rule), h1_rule_text(rule));
}

static void begin_exchange(struct session *session, const struct request *request,
                           struct sluice_span head)
{
    struct exchange_from from;
    struct downstream *down = begin(session, &from);

    if (!down)
        return;
    if (request->minor == 0) {
        from.protocol = "HTTP/1.0";
        from.via = SPAN("1.0 sluice");
    }
    h1_body_init(&down->body, request->framing, request->body_bytes);
    down->whole = !request_has_content(request);
    down->wants_keep = request->keep_alive;
    down->waits = request->expects_continue;
    down->is_http_1_0 = request->minor == 0;
    down->sends_no_content = request->method == METHOD_HEAD;
    if (down->whole) {
        conn_hold(&session->conn, CONN_HOLD_TURN);
        await_answer(session);
    } else {
        set_alarm(session, session_conf(session)->timeout.body_ms);
    }
    exchange_enter(session->exchange);
    exchange_take(session->exchange, &from, request, head);
    if (!down->whole)
        exchange_begin(session->exchange); /* before its content is read */
}

/*
 * Does the client speak HTTP/2 without being asked (RFC 9113 3.3)? To HTTP/1 its preface is a
 * request of an unknown version, which nobody sends behind another.
 */
static bool is_preface(const struct session *session, struct sluice_span bytes)
{
    return session->scan.rule == H1_RULE_VERSION && session->requests == 0 &&
           session_conf(session)->speaks_h2 && !tls_is_on(&session->conn) &&
           span_starts(bytes, SPAN("PRI * HTTP/2.0\r\n"));
}

/* True when an exchange has begun with it; it is entered. */
static bool take_head(struct session *session, struct sluice_span bytes)
{
    const struct listener_conf *conf = session_conf(session);
    struct worker *worker = session->port->worker;
    const struct h1_limits limits = {.line_bytes = (uint32_t)conf->limits.line_bytes,
                                     .head_bytes = (uint32_t)conf->limits.head_bytes,
                                     .field_count = (uint16_t)conf->limits.fields};
    struct request request;
    size_t used;

    request.fields.line = worker->request_lines;
    request.fields.cap = WORKER_LINES;
    request.fields.arena = NULL;
    if (session->state == SESSION_IDLE)
        session->scan = (struct h1_scan){0};
    switch (h1_parse_request(&session->scan, bytes, &limits, &request, &used)) {
    case H1_AGAIN:
        if (session->state == SESSION_IDLE) {
            session_enter(session, SESSION_HEAD);
            set_alarm(session, conf->timeout.head_ms);
        }
        return false;
    case H1_WRONG:
        if (is_preface(session, bytes)) {
            session_h2_begin(session);
        } else {
            refuse_head(session);
        }
        return false;
    case H1_DONE:
        break;
    }
    begin_exchange(session, &request, span_make(bytes.ptr, used));
    if (!session->exchange)
        return false;
    conn_consume(&session->conn, used);
    return true;
}

/* -- reading content ------------------------------------------------------- */

static void end_request(struct session *session, const struct fields *trailers)
{
    session->down->whole = true;
    conn_hold(&session->conn, CONN_HOLD_TURN);
    await_answer(session);
    exchange_on_request_end(session->exchange, trailers);
}

static void malformed_body(struct session *session, enum h1_rule rule)
{
    session->last = true;
    session->down->whole = true;
    conn_hold(&session->conn, CONN_HOLD_TURN);
    exchange_on_request_failed(session->exchange, REASON_BAD_REQUEST, h1_rule_text(rule));
}

/* What was kept goes with its block: a stream that was lent a piece takes it before. */
static void consume(struct session *session, size_t n)
{
    if (conn_gives_back(&session->conn, n))
        exchange_push(session->exchange);
    conn_consume(&session->conn, n);
}

static bool take_trailers(struct session *session, struct sluice_span bytes)
{
    const struct listener_conf *conf = session_conf(session);
    const struct h1_limits limits = {.line_bytes = (uint32_t)conf->limits.line_bytes,
                                     .head_bytes = (uint32_t)conf->limits.head_bytes,
                                     .field_count = (uint16_t)conf->limits.fields};
    struct fields trailers = {.line = session->port->worker->request_lines, .cap = WORKER_LINES};
    struct downstream *down = session->down;
    size_t used;

    switch (h1_parse_trailers(&down->trailers, bytes, &limits, &trailers, &used)) {
    case H1_AGAIN:
        return false;
    case H1_WRONG:
        malformed_body(session, down->trailers.rule);
        return false;
    case H1_DONE:
        break;
    }
    end_request(session, &trailers);
    consume(session, used);
    return true;
}

/* Content that nobody wants is read up to a limit, then the connection is given up. */
static bool skips_too_much(struct downstream *down, size_t bytes)
{
    if (!down->session->exchange->skipping)
        return false;
    down->skipped_bytes += (int64_t)bytes;
    return down->skipped_bytes > SKIP_MAX_BYTES;
}

static bool take_raw(struct session *session, struct sluice_span bytes)
{
    exchange_on_request_body(session->exchange, bytes);
    consume(session, bytes.len);
    return true;
}

static bool take_body(struct session *session, struct sluice_span bytes)
{
    struct downstream *down = session->down;
    struct sluice_span piece;
    enum h1_result result;
    size_t used;

    if (down->tunnel)
        return take_raw(session, bytes);
    if (down->in_trailers)
        return take_trailers(session, bytes);
    result = h1_body_next(&down->body, bytes, &used, &piece);
    if (result == H1_WRONG) {
        malformed_body(session, down->body.rule);
        return false;
    }
    down->waits = false;
    if (piece.len > 0)
        exchange_on_request_body(session->exchange, piece);
    consume(session, used);
    if (skips_too_much(down, used)) {
        session->last = true;
        exchange_on_request_failed(session->exchange, REASON_NONE, NULL);
        return false;
    }
    if (result == H1_AGAIN)
        return used > 0;
    if (down->body.framing == FRAMING_CHUNKED) {
        down->in_trailers = true;
    } else {
        end_request(session, NULL);
    }
    return true;
}

/* -- reading ------------------------------------------------------------------ */

static bool has_turn(const struct session *session)
{
    return conn_is_open(&session->conn) && session->conn.holds == 0 &&
           conn_peek(&session->conn).len > 0;
}

static void take_content(struct session *session)
{
    bool more = true;

    while (more && has_turn(session)) {
        more = take_body(session, conn_peek(&session->conn));
    }
}

/*
 * Take what can be taken from the unread bytes: a head, its content, and when the exchange ends
 * right away, the next head. The head and the content that came with it go upstream in one piece.
 */
static void digest(struct session *session)
{
    struct exchange *ex;

    do {
        if (session->state == SESSION_LINGER) {
            session_take_linger(session);
            return;
        }
        if (session->exchange) {
            exchange_enter(session->exchange);
        } else if (!take_head(session, conn_peek(&session->conn))) {
            return;
        }
        ex = session->exchange;
        take_content(session);
    } while (exchange_leave(ex) && has_turn(session));
}

/* The client has ended its side, the connection broke, or there is no room for what it sent. */
static void on_end(struct session *session, enum err err)
{
    struct exchange *ex = session->exchange;

    if (err == ERR_LIMIT && !ex) {
        begin_refused(session, REASON_HEAD_TOO_LARGE, NULL);
        return;
    }
    if (ex) {
        exchange_enter(ex);
        exchange_on_client_gone(ex, session_reason_of_end(err));
        exchange_leave(ex);
    }
    conn_close(&session->conn);
}

/* The client has ended its side of a tunnel; the connection lives on for the upstream's. */
static void end_side(struct session *session)
{
    struct exchange *ex = session->exchange;

    if (conn_settle(&session->conn, false) != OK) {
        on_end(session, ERR_MEMORY);
        return;
    }
    exchange_enter(ex);
    end_request(session, NULL);
    exchange_leave(ex);
}

/* Is a message under way, whose rest or whose sender's end must not be missed? */
static bool awaits_more(const struct session *session)
{
    if (session->state == SESSION_EXCHANGE)
        return session->down && !session->down->whole;
    return session->state == SESSION_HEAD;
}

/* A head with its content, or as much as the upstream takes. */
static size_t read_most(const struct session *session)
{
    struct exchange *ex = session->exchange;

    if (ex && ex->attempt && attempt_is_held(ex->attempt))
        return leg_read_most(&ex->attempt->leg);
    return CONN_ROOM_FIRST;
}

static void on_readable(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct sluice_span bytes = conn_peek(conn);
    enum err err = OK;
    unsigned reads = 0;

    if (bytes.len > 0)
        digest(session);
    while (err == OK && conn_is_open(conn) && reads++ < READS_MAX) {
        if (!awaits_more(session) && reads > 1 && conn_is_read_out(conn))
            break;
        if (session->state == SESSION_EXCHANGE && session->down && !session->down->whole)
            set_alarm(session, session_conf(session)->timeout.body_ms);
        err = conn_read_most(conn, read_most(session), &bytes);
        if (err == OK)
            digest(session);
        if (session->state == SESSION_MULTIPLEX)
            break; /* another codec has taken over */
    }
    if (!conn_is_open(conn))
        return;
    if (session->state == SESSION_MULTIPLEX) {
        if (conn_settle(conn, true) != OK)
            conn_close(conn);
        return;
    }
    if (err == ERR_CLOSED && session->down && session->down->tunnel) {
        end_side(session);
    } else if (err && err != ERR_AGAIN) {
        on_end(session, err);
    } else if (conn_settle(conn, awaits_more(session)) != OK) {
        on_end(session, ERR_MEMORY);
    } else if (err == OK && !conn_is_read_out(conn)) {
        conn_yield(conn);
    }
}

/* -- sending: the downstream leg ------------------------------------------------ */

static bool can_skip(struct leg *leg)
{
    const struct downstream *down = down_of(leg);

    if (down->waits || down->session->last)
        return false; /* it may send the content or not: nobody can tell what comes next */
    return down->body.framing != FRAMING_LENGTH || down->body.left <= SKIP_MAX_BYTES;
}

static enum h1_connection connection_of(struct downstream *down, enum framing framing)
{
    struct session *session = down->session;

    if (!down->wants_keep || framing == FRAMING_CLOSE || session->port->worker->draining ||
        !session->port->listener || (!down->whole && !can_skip(&down->leg)))
        session->last = true;
    if (session->last)
        return H1_CONNECTION_CLOSE;
    return down->is_http_1_0 ? H1_CONNECTION_KEEP_ALIVE : H1_CONNECTION_NONE;
}

/* What the client has sent behind its request, and sends from now on, is content. */
static void begin_tunnel(struct downstream *down)
{
    struct session *session = down->session;

    session->last = true;
    down->tunnel = true;
    down->whole = down->waits = down->sends_no_content = false;
    down->framing = FRAMING_CLOSE; /* an end in order is the content's */
    conn_set_alarm(&session->conn, 0);
    conn_release(&session->conn, CONN_HOLD_TURN);
}

static enum err send_head(struct leg *leg, const struct leg_head *head)
{
    struct downstream *down = down_of(leg);
    struct conn *conn = &down->session->conn;
    enum h1_connection connection = H1_CONNECTION_NONE;
    char *out;
    size_t room = conn_reserve(conn, &out);
    size_t n;

    if (head->response->status == 100)
        down->waits = false;
    if (head->response->status >= 200) {
        connection = connection_of(down, head->framing);
        down->framing = head->framing;
    }
    n = h1_write_response(out, room, head->response, head->framing, head->body_bytes,
                          head->keep_length, connection);
    if (n == 0)
        return ERR_LIMIT;
    conn_wrote(conn, n);
    if (head->response->upgrade.len > 0)
        begin_tunnel(down);
    return OK;
}

static void send_body(struct leg *leg, struct sluice_span piece)
{
    struct downstream *down = down_of(leg);
    struct conn *conn = &down->session->conn;
    char line[24];

    if (piece.len == 0 || down->sends_no_content)
        return;
    if (down->framing == FRAMING_CHUNKED)
        conn_put(conn, span_make(line, h1_write_chunk_head(line, sizeof(line), piece.len)));
    conn_lend(conn, piece);
    if (down->framing == FRAMING_CHUNKED)
        conn_put(conn, SPAN("\r\n"));
}

static void send_end(struct leg *leg, const struct fields *trailers)
{
    struct downstream *down = down_of(leg);
    struct conn *conn = &down->session->conn;
    char *out;
    size_t room, n;

    if (down->tunnel)
        conn_shut_write(conn);
    if (down->framing != FRAMING_CHUNKED || down->sends_no_content)
        return;
    room = conn_reserve(conn, &out);
    n = h1_write_last_chunk(out, room, trailers);
    if (n == 0)
        n = h1_write_last_chunk(out, room, NULL); /* trailers that do not fit are left out */
    conn_wrote(conn, n);
}

static enum err flush(struct leg *leg)
{
    struct session *session = down_of(leg)->session;
    enum err err = conn_flush(&session->conn);

    if (err == ERR_AGAIN)
        set_alarm(session, session_conf(session)->timeout.write_ms);
    return err;
}

static size_t room(struct leg *leg)
{
    return conn_room(&down_of(leg)->session->conn);
}

static struct conn *bare(struct leg *leg)
{
    struct downstream *down = down_of(leg);

    return down->framing == FRAMING_LENGTH && !down->sends_no_content ? &down->session->conn : NULL;
}

static void leg_hold(struct leg *leg)
{
    conn_hold(&down_of(leg)->session->conn, CONN_HOLD_PEER);
}

static void leg_release(struct leg *leg)
{
    struct session *session = down_of(leg)->session;

    set_alarm(session, session_conf(session)->timeout.body_ms);
    conn_release(&session->conn, CONN_HOLD_PEER);
}

/* Close so that the client can read all of the answer: a close with unread bytes would reset it. */
static void close_gently(struct session *session)
{
    struct conn *conn = &session->conn;

    if (conn_is_read_out(conn) && conn_peek(conn).len == 0 && session->down->whole) {
        conn_close(conn);
        return;
    }
    session_linger(session);
}

static void leg_end(struct leg *leg, enum leg_end how)
{
    struct downstream *down = down_of(leg);
    struct session *session = down->session;
    struct conn *conn = &session->conn;

    session->exchange = NULL;
    if (!conn_is_open(conn)) {
        /* It went away by itself. */
    } else if (how == LEG_CUT) {
        /* What ends with the connection would look whole; what is unsent, nobody may ever take. */
        if (down->framing == FRAMING_CLOSE || conn_has_unsent(conn)) {
            conn_abort(conn);
        } else {
            conn_close(conn);
        }
    } else if (down->tunnel) {
        conn_close(conn); /* both sides have ended */
    } else if (session->last || !down->whole) {
        close_gently(session);
    } else {
        begin_idle(session, session_conf(session)->timeout.idle_ms);
        conn_release(conn, CONN_HOLD_PEER);
        conn_release(conn, CONN_HOLD_TURN);
    }
    session->down = NULL;
}

static void hand_over(struct leg *leg, struct tunnel *tunnel)
{
    struct session *session = down_of(leg)->session;

    session->exchange = NULL;
    session->tunnel = tunnel;
    session_enter(session, SESSION_TUNNEL);
    tunnel_take_client(tunnel, &session->conn);
}

static const struct leg_ops session_leg_ops = {
    .name = "h1",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .room = room,
    .bare = bare,
    .hold = leg_hold,
    .release = leg_release,
    .can_skip = can_skip,
    .hand_over = hand_over,
    .end = leg_end,
};

/* -- events ------------------------------------------------------------------------ */

static void on_hangup(struct conn *conn, enum err err)
{
    struct session *session = session_of(conn);
    bool allows = session_conf(session)->half_close == HALF_CLOSE_ALLOW;

    if (session->down && session->down->tunnel) {
        /* Held for the turn, its end is known. */
        if (err != ERR_CLOSED || conn_is_reset(conn))
            on_end(session, ERR_RESET);
        return;
    }
    if (err == ERR_CLOSED && allows && conn_is_reset(conn))
        err = ERR_RESET;
    if (err == ERR_CLOSED && allows) {
        /* It may still read. Requests that came before its end are served first. */
        session->last = conn_peek(conn).len == 0;
    } else {
        on_end(session, err);
    }
}

static void on_drained(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct exchange *ex = session->exchange;

    if (!ex)
        return;
    set_alarm(session, session_conf(session)->timeout.body_ms);
    exchange_enter(ex);
    exchange_on_down_drained(ex);
    exchange_leave(ex);
}

static void on_progress(struct conn *conn)
{
    struct session *session = session_of(conn);

    if (session->down)
        session->down->untaken_bytes = 0;
    set_alarm(session, session_conf(session)->timeout.write_ms);
}

static void on_failed(struct conn *conn, enum err err)
{
    struct session *session = session_of(conn);

    on_end(session, err);
}

/*
 * Has the client taken bytes since the alarm rang the last time? The first ring only notes how
 * much there is, so a client that takes nothing has between one and two timeouts.
 */
static bool takes_slowly(struct session *session)
{
    struct downstream *down = session->down;
    uint32_t before = down->untaken_bytes;

    down->untaken_bytes = conn_untaken_bytes(&session->conn);
    return before == 0 || down->untaken_bytes < before;
}

static void on_exchange_alarm(struct session *session)
{
    struct exchange *ex = session->exchange;

    session->looks = false;
    if (conn_has_unsent(&session->conn) && takes_slowly(session)) {
        conn_set_alarm(&session->conn, session_conf(session)->timeout.write_ms);
        return;
    }
    if (conn_has_unsent(&session->conn)) {
        /* the kernel must not keep for the client what it does not take */
        conn_abort(&session->conn);
        exchange_enter(ex);
        exchange_on_client_gone(ex, REASON_WRITE_TIMEOUT);
        exchange_leave(ex);
        return;
    }
    if (session->down->whole || ex->down_held) {
        conn_look_held(&session->conn); /* the upstream is slow, and has deadlines of its own */
        return;
    }
    session->last = true;
    exchange_enter(ex);
    exchange_on_request_failed(ex, REASON_BODY_TIMEOUT, NULL);
    exchange_leave(ex);
}

/* The alarm that rings was set before it was idle, or for that. */
static void on_idle_alarm(struct session *session)
{
    uint64_t ms = session_conf(session)->timeout.idle_ms;
    uint64_t idle_ms = (loop_now_us(session->conn.loop) - session->idle_since_us) / 1000;

    if (session->looks && idle_ms < ms) {
        set_alarm(session, ms - idle_ms);
    } else {
        conn_close(&session->conn);
    }
}

static void on_alarm(struct conn *conn)
{
    struct session *session = session_of(conn);

    switch ((enum session_state)session->state) {
    case SESSION_IDLE:
        on_idle_alarm(session);
        break;
    case SESSION_HEAD:
        begin_refused(session, REASON_HEAD_TIMEOUT, NULL);
        break;
    case SESSION_EXCHANGE:
        on_exchange_alarm(session);
        break;
    case SESSION_TUNNEL:
        conn_close(conn);
        break;
    case SESSION_SHAKING:
    case SESSION_MULTIPLEX:
    case SESSION_LINGER:
        break; /* others' */
    }
}

static const struct conn_ops h1_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = session_on_closed,
};
