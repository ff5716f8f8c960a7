#include "proxy/session.h"

#include "base/log.h"
#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "net/addr.h"
#include "net/addr_conf.h"
#include "net/conn.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "proxy/port_tls.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

#include <string.h>
#include <unistd.h>

enum {
    READS_MAX = 8, /* of one connection in a turn, then others get theirs */
    SKIP_MAX_BYTES =
        256 * 1024,   /* of content nobody wants; beyond it a new connection is cheaper */
    LINGER_MS = 2000, /* for a client to notice our end before a reset may hit it */
    LINGER_MAX_BYTES = 1024 * 1024,
};

enum session_state {
    SESSION_SHAKING,
    SESSION_IDLE,
    SESSION_HEAD,
    SESSION_EXCHANGE,
    SESSION_TUNNEL,
    SESSION_LINGER
};

struct session {
    struct conn conn;
    struct list link;          /* in worker->all */
    struct port *port;         /* borrowed: it waits for us */
    struct exchange *exchange; /* owned, in SESSION_EXCHANGE */
    union {
        struct downstream *down; /* borrowed: in the exchange's arena */
        struct tunnel *tunnel;   /* SESSION_TUNNEL: borrowed, ends our connection */
    };
    struct addr peer;
    struct proxied *proxied; /* owned; NULL: no PROXY header is read */
    uint64_t id;
    union {
        uint64_t idle_since_us; /* SESSION_IDLE */
        struct h1_scan scan;    /* SESSION_HEAD: of the head being read */
    };
    union {
        uint32_t requests;
        uint32_t lingered_bytes; /* in SESSION_LINGER, when no other request comes */
    };
    uint8_t state; /* enum session_state */
    bool last;     /* close after this exchange */
    bool shaking;  /* a TLS handshake is under way, and counted */
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

static const struct conn_ops session_conn_ops;
static const struct leg_ops session_leg_ops;

static struct session *session_of(struct conn *conn)
{
    return (struct session *)(void *)conn;
}

static struct downstream *down_of(struct leg *leg)
{
    return list_entry(leg, struct downstream, leg);
}

static const struct listener_conf *conf_of(const struct session *session)
{
    return session->port->conf;
}

/* While an exchange goes on. A tunnel has no deadline but its exchange's. */
static void set_alarm(struct session *session, uint64_t ms)
{
    if (!session->down || !session->down->tunnel)
        conn_set_alarm(&session->conn, ms);
}

static void enter(struct session *session, enum session_state state)
{
    session->state = (uint8_t)state;
}

/* -- life ------------------------------------------------------------- */

size_t session_bytes(void)
{
    return sizeof(struct session);
}

/* Nothing is asked for, and for so long nothing need be. */
static void begin_idle(struct session *session, uint64_t ms)
{
    enter(session, SESSION_IDLE);
    session->idle_since_us = loop_now_us(session->conn.loop);
    conn_set_alarm(&session->conn, ms);
}

/* A PROXY header is to come first. */
static enum err await_header(struct session *session)
{
    const struct listener_conf *conf = conf_of(session);
    uint64_t then_ms = conf->server ? conf->tls.handshake_ms : conf->timeout.head_ms;

    session->proxied = proxied_new(&session->peer, conf->proxied.optional);
    if (!session->proxied)
        return ERR_MEMORY;
    proxied_await(&session->conn, session->proxied, then_ms);
    conn_set_alarm(&session->conn, conf->proxied.timeout_ms);
    return OK;
}

/* What comes before the first head: a PROXY header, a handshake, or nothing. */
static enum err shake(struct session *session)
{
    const struct listener_conf *conf = conf_of(session);
    bool is_asked = conf->proxied.is_on && addr_ranges_have(&conf->proxied.from, &session->peer);

    if (conf->proxied.is_on && !is_asked && conf->proxied.others == PROXIED_REFUSE) {
        counter_add(&session->port->counters->proxy_refused, 1);
        return ERR_REFUSED;
    }
    if (!conf->server && !is_asked) {
        begin_idle(session, conf_of(session)->timeout.head_ms);
        return OK;
    }
    enter(session, SESSION_SHAKING);
    conn_set_alarm(&session->conn, conf->tls.handshake_ms);
    if (conf->server && tls_accept(&session->conn, conf->server))
        return ERR_MEMORY;
    session->shaking = conf->server != NULL;
    if (session->shaking)
        port_tls_begin(session->port);
    return is_asked ? await_header(session) : OK;
}

void session_open(struct port *port, int fd, const struct addr *peer)
{
    struct worker *worker = port->worker;
    struct session *session = slab_take(&worker->sessions);

    if (!session) {
        close(fd);
        worker_on_session_end(worker, port);
        return;
    }
    memset(session, 0, sizeof(*session));
    session->port = port;
    session->peer = *peer;
    /* Ids of different workers never meet. */
    session->id = worker->last_connection++ * worker->crew->n_workers + worker->index + 1;
    list_append(&worker->all, &session->link);
    if (conn_open(&session->conn, worker->loop, fd, &session_conn_ops)) {
        list_remove(&session->link);
        slab_give(&worker->sessions, session);
        worker_on_session_end(worker, port);
        return;
    }
    if (shake(session) != OK)
        conn_close(&session->conn);
}

static void end_shaking(struct session *session)
{
    if (session->shaking)
        port_tls_end(session->port);
    session->shaking = false;
}

void session_on_closed(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct worker *worker = session->port->worker;
    struct port *port = session->port;

    end_shaking(session);
    proxied_free(&session->proxied);
    list_remove(&session->link);
    slab_give(&worker->sessions, session);
    worker_on_session_end(worker, port);
}

void session_sweep(struct list *link, uint64_t now_us, uint64_t quiet_us)
{
    struct session *session = list_entry(link, struct session, link);

    if (quiet_us == 0 && session->exchange) {
        exchange_enter(session->exchange);
        exchange_on_client_gone(session->exchange, REASON_DRAINING);
        exchange_leave(session->exchange);
    }
    if (quiet_us == 0 && session->state == SESSION_TUNNEL)
        tunnel_cut(session->tunnel, REASON_DRAINING);
    if (quiet_us == 0 ||
        (session->state == SESSION_IDLE && now_us - session->idle_since_us >= quiet_us))
        conn_close(&session->conn);
}

/* -- reading a head -------------------------------------------------------- */

/* Here, or with the trusted one who tells of it. */
static bool is_secure(const struct session *session)
{
    return tls_is_on(&session->conn) || (session->proxied && session->proxied->is_tls);
}

struct tunnel *session_tunnel(struct conn *conn)
{
    return session_of(conn)->tunnel;
}

static inline struct exchange_from origin_of(const struct session *session)
{
    return (struct exchange_from){.port = session->port,
                                  .peer = &session->peer,
                                  .protocol = "HTTP/1.1",
                                  .scheme = is_secure(session) ? "https" : "http",
                                  .conn = &session->conn,
                                  .proxied = session->proxied,
                                  .connection = session->id,
                                  .requests = session->requests};
}

void session_tell(struct conn *conn, struct exchange_from *from)
{
    *from = origin_of(session_of(conn));
}

static struct downstream *downstream_new(struct session *session, struct exchange *ex,
                                         struct exchange_from *from)
{
    struct downstream *down = arena_try(&ex->arena, sizeof(*down));

    if (!down)
        return NULL;
    down->leg.ops = &session_leg_ops;
    down->session = session;
    session->requests++;
    session->exchange = ex;
    session->down = down;
    *from = origin_of(session);
    from->leg = &down->leg;
    enter(session, SESSION_EXCHANGE);
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
    exchange_begin_refused(session->exchange, &from, reason, detail);
    exchange_leave(session->exchange);
}

static void refuse_head(struct session *session)
{
    enum h1_rule rule = session->scan.rule;
    enum reason reason = REASON_BAD_REQUEST;

    if (rule == H1_RULE_LINE_BYTES) {
        reason = REASON_TARGET_TOO_LONG;
    } else if (rule == H1_RULE_HEAD_BYTES || rule == H1_RULE_FIELD_COUNT) {
        reason = REASON_HEAD_TOO_LARGE;
    } else if (rule == H1_RULE_VERSION) {
        reason = REASON_VERSION_UNSUPPORTED;
    }
    begin_refused(session, reason, h1_rule_text(rule));
}

static void begin_exchange(struct session *session, const struct request *request,
                           struct sluice_span head)
{
    struct exchange_from from;
    struct downstream *down = begin(session, &from);

    if (!down)
        return;
    if (request->minor == 0)
        from.protocol = "HTTP/1.0";
    h1_body_init(&down->body, request->framing, request->body_bytes);
    down->whole = !request_has_content(request);
    down->wants_keep = request->keep_alive;
    down->waits = request->expects_continue;
    down->is_http_1_0 = request->minor == 0;
    down->sends_no_content = request->method == METHOD_HEAD;
    if (down->whole) {
        conn_hold(&session->conn, CONN_HOLD_TURN);
    } else {
        conn_set_alarm(&session->conn, conf_of(session)->timeout.body_ms);
    }
    exchange_enter(session->exchange);
    exchange_begin(session->exchange, &from, request, head);
}

/* True when an exchange has begun with it; it is entered. */
static bool take_head(struct session *session, struct sluice_span bytes)
{
    const struct listener_conf *conf = conf_of(session);
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
            enter(session, SESSION_HEAD);
            conn_set_alarm(&session->conn, conf->timeout.head_ms);
        }
        return false;
    case H1_WRONG:
        refuse_head(session);
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
    exchange_on_request_end(session->exchange, trailers);
}

static void malformed_body(struct session *session, enum h1_rule rule)
{
    session->last = true;
    session->down->whole = true;
    conn_hold(&session->conn, CONN_HOLD_TURN);
    exchange_on_request_failed(session->exchange, REASON_BAD_REQUEST, h1_rule_text(rule));
}

static bool take_trailers(struct session *session, struct sluice_span bytes)
{
    const struct listener_conf *conf = conf_of(session);
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
    conn_consume(&session->conn, used);
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
    conn_consume(&session->conn, bytes.len);
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
    conn_consume(&session->conn, used);
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

static void linger(struct session *session, struct sluice_span bytes)
{
    session->lingered_bytes += (uint32_t)bytes.len;
    conn_consume(&session->conn, bytes.len);
    if (session->lingered_bytes > LINGER_MAX_BYTES)
        conn_close(&session->conn);
}

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
            linger(session, conn_peek(&session->conn));
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

static enum reason reason_of_end(enum err err)
{
    if (err == ERR_CLOSED)
        return REASON_CLIENT_CLOSED;
    return err == ERR_MEMORY || err == ERR_LIMIT ? REASON_OVERLOAD : REASON_CLIENT_RESET;
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
        exchange_on_client_gone(ex, reason_of_end(err));
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
            set_alarm(session, conf_of(session)->timeout.body_ms);
        err = conn_read(conn, &bytes);
        if (err == OK)
            digest(session);
    }
    if (!conn_is_open(conn))
        return;
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
        set_alarm(session, conf_of(session)->timeout.write_ms);
    return err;
}

static void leg_hold(struct leg *leg)
{
    conn_hold(&down_of(leg)->session->conn, CONN_HOLD_PEER);
}

static void leg_release(struct leg *leg)
{
    struct session *session = down_of(leg)->session;

    set_alarm(session, conf_of(session)->timeout.body_ms);
    conn_release(&session->conn, CONN_HOLD_PEER);
}

/* No more from us; what the client still sends is read and forgotten for a while. */
static void linger_on(struct session *session)
{
    struct conn *conn = &session->conn;

    conn_shut_write(conn);
    enter(session, SESSION_LINGER);
    session->lingered_bytes = 0;
    conn_set_alarm(conn, LINGER_MS);
    conn_release(conn, CONN_HOLD_PEER);
    conn_release(conn, CONN_HOLD_TURN);
    conn_look(conn);
}

/* Close so that the client can read all of the answer: a close with unread bytes would reset it. */
static void close_gently(struct session *session)
{
    struct conn *conn = &session->conn;

    if (conn_is_read_out(conn) && conn_peek(conn).len == 0 && session->down->whole) {
        conn_close(conn);
        return;
    }
    linger_on(session);
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
        begin_idle(session, conf_of(session)->timeout.idle_ms);
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
    enter(session, SESSION_TUNNEL);
    tunnel_take_client(tunnel, &session->conn);
}

static const struct leg_ops session_leg_ops = {
    .name = "h1",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .hold = leg_hold,
    .release = leg_release,
    .can_skip = can_skip,
    .hand_over = hand_over,
    .end = leg_end,
};

/* -- the TLS handshake ----------------------------------------------------------- */

/* The PROXY header has been read, or was rightly not there: from now on, its client is the peer. */
static void take_proxied(struct session *session)
{
    struct port_counters *counters = session->port->counters;
    const struct proxied *proxied = session->proxied;

    if (proxied->state == PROXIED_NONE) {
        counter_add(&counters->proxy_none, 1);
    } else {
        counter_add(proxied->version == 1 ? &counters->proxy_v1 : &counters->proxy_v2, 1);
    }
    if (proxied->from.family != 0)
        session->peer = proxied->from;
}

/* By what was agreed on (tls_protocol()) another protocol's session takes over here. */
static void on_shaken(struct session *session)
{
    if (session->proxied)
        take_proxied(session);
    end_shaking(session);
    if (tls_is_on(&session->conn))
        port_tls_note(session->port, &session->conn);
    begin_idle(session, conf_of(session)->timeout.head_ms);
}

/* Tell a client that took us for a plain port, and see it off. */
static void refuse_plain(struct session *session)
{
    struct conn *conn = &session->conn;

    counter_add(&session->port->counters->tls_plain, 1);
    tls_give_up(conn);
    conn_put(conn, SPAN("HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n"
                        "content-length: 38\r\nconnection: close\r\n\r\n"
                        "plain HTTP request sent to a TLS port\n"));
    if (conn_flush(conn)) {
        conn_close(conn);
        return;
    }
    linger_on(session);
}

static void refuse_header(struct session *session)
{
    const char *why = session->proxied->why;

    log_debug("PROXY header refused", F_STR("listener", session->port->name),
              F_STR("cause", why ? why : "the connection is gone"));
    counter_add(&session->port->counters->proxy_wrong, 1);
    conn_close(&session->conn);
}

static void on_unshaken(struct session *session)
{
    struct conn *conn = &session->conn;

    end_shaking(session);
    if (session->proxied && session->proxied->state != PROXIED_READ &&
        session->proxied->state != PROXIED_NONE) {
        refuse_header(session);
        return;
    }
    log_debug("TLS handshake failed", F_STR("listener", session->port->name),
              F_SPAN("cause", tls_failure(conn)));
    if (tls_met_plain_http(conn)) {
        refuse_plain(session);
        return;
    }
    counter_add(&session->port->counters->tls_failed, 1);
    conn_close(conn);
}

/* -- events ------------------------------------------------------------------------ */

static void on_hangup(struct conn *conn, enum err err)
{
    struct session *session = session_of(conn);

    if (session->down && session->down->tunnel) {
        /* Held for the turn, its end is known. */
        if (err != ERR_CLOSED || conn_is_reset(conn))
            on_end(session, ERR_RESET);
        return;
    }
    if (err == ERR_CLOSED && conf_of(session)->half_close == HALF_CLOSE_ALLOW) {
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

    if (session->state == SESSION_SHAKING)
        on_shaken(session);
    if (!ex)
        return;
    set_alarm(session, conf_of(session)->timeout.body_ms);
    exchange_enter(ex);
    exchange_on_down_drained(ex);
    exchange_leave(ex);
}

static void on_progress(struct conn *conn)
{
    struct session *session = session_of(conn);

    if (session->down)
        session->down->untaken_bytes = 0;
    set_alarm(session, conf_of(session)->timeout.write_ms);
}

static void on_failed(struct conn *conn, enum err err)
{
    struct session *session = session_of(conn);

    if (session->state == SESSION_SHAKING) {
        on_unshaken(session);
    } else {
        on_end(session, err);
    }
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

    if (conn_has_unsent(&session->conn) && takes_slowly(session)) {
        conn_set_alarm(&session->conn, conf_of(session)->timeout.write_ms);
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
    if (session->down->whole || ex->down_held)
        return; /* it is the upstream who is slow, and has deadlines of its own */
    session->last = true;
    exchange_enter(ex);
    exchange_on_request_failed(ex, REASON_BODY_TIMEOUT, NULL);
    exchange_leave(ex);
}

static void on_shaking_alarm(const struct session *session)
{
    struct port_counters *counters = session->port->counters;
    bool awaits_header = session->proxied && session->proxied->state == PROXIED_AWAITED;

    counter_add(awaits_header ? &counters->proxy_timeout : &counters->tls_timeout, 1);
}

static void on_alarm(struct conn *conn)
{
    struct session *session = session_of(conn);

    switch ((enum session_state)session->state) {
    case SESSION_SHAKING:
        on_shaking_alarm(session);
        conn_close(conn);
        break;
    case SESSION_IDLE:
    case SESSION_LINGER:
    case SESSION_TUNNEL:
        conn_close(conn);
        break;
    case SESSION_HEAD:
        begin_refused(session, REASON_HEAD_TIMEOUT, NULL);
        break;
    case SESSION_EXCHANGE:
        on_exchange_alarm(session);
        break;
    }
}

static const struct conn_ops session_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = session_on_closed,
};
