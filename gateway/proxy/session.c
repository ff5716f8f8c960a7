/*
 * session.c - how a downstream connection begins and ends, whatever it speaks in between.
 */
#include "proxy/session_h2.h"

#include "base/log.h"
#include "net/addr_conf.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "proxy/port_tls.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

#include <string.h>
#include <unistd.h>

enum {
    READS_MAX = 8,    /* of one connection in a turn, then others get theirs */
    LINGER_MS = 2000, /* for a client to notice our end before a reset may hit it */
    LINGER_MAX_BYTES = 1024 * 1024,
};

static const struct conn_ops shaking_ops, linger_ops;

static struct session *session_of(struct conn *conn)
{
    return (struct session *)(void *)conn;
}

const struct listener_conf *session_conf(const struct session *session)
{
    return session->port->conf;
}

/* -- life ------------------------------------------------------------- */

size_t session_bytes(void)
{
    return sizeof(struct session);
}

/*
 * Which protocol from now on: by what was agreed on (ALPN), else by what the first bytes are: the
 * HTTP/1 codec hands over when it meets the preface of HTTP/2.
 */
static void choose(struct session *session)
{
    const struct listener_conf *conf = session_conf(session);
    struct sluice_span agreed = tls_protocol(&session->conn);

    conn_set_alarm(&session->conn, conf->timeout.head_ms);
    if (span_equal(agreed, SPAN("h2")) || (conf->speaks_h2 && !conf->speaks_h1)) {
        session_h2_begin(session);
    } else {
        session_h1_begin(session);
    }
}

/* A PROXY header is to come first. */
static enum err await_header(struct session *session)
{
    const struct listener_conf *conf = session_conf(session);
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
    const struct listener_conf *conf = session_conf(session);
    bool is_asked = conf->proxied.is_on && addr_ranges_have(&conf->proxied.from, &session->peer);

    if (conf->proxied.is_on && !is_asked && conf->proxied.others == PROXIED_REFUSE) {
        counter_add(&session->port->counters->proxy_refused, 1);
        return ERR_REFUSED;
    }
    if (!conf->server && !is_asked) {
        choose(session);
        return OK;
    }
    session_enter(session, SESSION_SHAKING);
    conn_set_alarm(&session->conn, conf->tls.handshake_ms);
    if (conf->server && tls_accept(&session->conn, conf->server))
        return ERR_MEMORY;
    session->shaking = conf->server != NULL;
    if (session->shaking)
        port_tls_begin(session->port);
    return is_asked ? await_header(session) : OK;
}

/* Of no list any more, and whoever was about to meet it meets the one behind it. */
static void leave_list(struct session *session)
{
    list_each (node, &session->port->worker->walks) {
        struct session_walk *walk = list_entry(node, struct session_walk, link);

        if (walk->next == &session->link)
            walk->next = session->link.next;
    }
    list_remove(&session->link);
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
    if (conn_open(&session->conn, worker->loop, fd, &shaking_ops)) {
        leave_list(session);
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
    if (session->multiplex &&
        (session->state == SESSION_MULTIPLEX || session->state == SESSION_LINGER))
        session_h2_end(session);
    proxied_free(&session->proxied);
    leave_list(session);
    slab_give(&worker->sessions, session);
    worker_on_session_end(worker, port);
}

/* End it now, whatever is under way. */
static void cut(struct session *session, enum reason reason)
{
    switch ((enum session_state)session->state) {
    case SESSION_SHAKING:
    case SESSION_LINGER:
        break;
    case SESSION_TUNNEL:
        tunnel_cut(session->tunnel, reason);
        break;
    case SESSION_IDLE:
    case SESSION_HEAD:
    case SESSION_EXCHANGE:
        session_h1_cut(session, reason);
        break;
    case SESSION_MULTIPLEX:
        session_h2_cut(session, reason);
        break;
    }
    conn_close(&session->conn);
}

void session_sweep(struct list *link, uint64_t now_us, uint64_t quiet_us)
{
    struct session *session = list_entry(link, struct session, link);

    if (quiet_us == 0) {
        cut(session, REASON_DRAINING);
    } else if (session->state == SESSION_IDLE) {
        if (now_us - session->idle_since_us >= quiet_us)
            conn_close(&session->conn);
    } else if (session->state == SESSION_MULTIPLEX) {
        multiplex_drain(session->multiplex);
    }
}

/* -- those who look at all of them --------------------------------------------------- */

void session_walk_begin(struct session_walk *walk, struct worker *worker)
{
    walk->next = worker->all.next;
    list_append(&worker->walks, &walk->link);
}

struct list *session_walk_next(struct session_walk *walk, struct worker *worker)
{
    while (walk->next != &worker->all) {
        struct session *session = list_entry(walk->next, struct session, link);

        walk->next = session->link.next;
        if (conn_is_open(&session->conn))
            return &session->link;
    }
    return NULL;
}

uint64_t session_id(struct list *link)
{
    return list_entry(link, struct session, link)->id;
}

void session_walk_end(struct session_walk *walk)
{
    if (walk->link.next)
        list_remove(&walk->link);
}

enum session_close session_close(struct list *link, bool now)
{
    struct session *session = list_entry(link, struct session, link);
    bool tunnels = session->state == SESSION_TUNNEL ||
                   (session->state == SESSION_EXCHANGE && session->exchange &&
                    session->exchange->state == EX_TUNNEL);

    if (tunnels && !now)
        return SESSION_CLOSE_TUNNEL;
    if (now || session->state == SESSION_SHAKING || session->state == SESSION_IDLE) {
        cut(session, REASON_OPERATOR_CLOSED);
        return SESSION_CLOSE_NOW;
    }
    if (session->state == SESSION_MULTIPLEX) {
        multiplex_drain(session->multiplex);
    } else {
        session->last = true;
    }
    return SESSION_CLOSE_SOON;
}

/* Here, or with the trusted one who tells of it. */
bool session_is_secure(const struct session *session)
{
    return tls_is_on(&session->conn) || (session->proxied && session->proxied->is_tls);
}

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

static void on_shaken(struct session *session)
{
    if (session->proxied)
        take_proxied(session);
    end_shaking(session);
    if (tls_is_on(&session->conn))
        port_tls_note(session->port, &session->conn);
    choose(session);
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
    session_linger(session);
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
    counter_add(&session->port->counters->tls_causes[tls_failure_cause(conn)], 1);
    conn_close(conn);
}

struct tunnel *session_tunnel(struct conn *conn)
{
    return session_of(conn)->tunnel;
}

struct worker *session_worker(struct conn *conn)
{
    return session_of(conn)->port->worker;
}

void session_tell(struct conn *conn, struct exchange_from *from)
{
    *from = session_origin(session_of(conn));
}

/* -- lingering -------------------------------------------------------------------- */

void session_linger(struct session *session)
{
    struct conn *conn = &session->conn;

    conn_shut_write(conn);
    session_enter(session, SESSION_LINGER);
    session->lingered_bytes = 0;
    conn_set_ops(conn, &linger_ops);
    conn_set_alarm(conn, LINGER_MS);
    conn_release(conn, CONN_HOLD_PEER);
    conn_release(conn, CONN_HOLD_TURN);
    conn_look(conn);
}

void session_take_linger(struct session *session)
{
    size_t n = conn_peek(&session->conn).len;

    session->lingered_bytes += (uint32_t)n;
    conn_consume(&session->conn, n);
    if (session->lingered_bytes > LINGER_MAX_BYTES)
        conn_close(&session->conn);
}

enum reason session_reason_of_end(enum err err)
{
    if (err == ERR_CLOSED)
        return REASON_CLIENT_CLOSED;
    return err == ERR_MEMORY || err == ERR_LIMIT ? REASON_OVERLOAD : REASON_CLIENT_RESET;
}

enum reason session_reason_of_rule(enum h1_rule rule)
{
    switch ((unsigned)rule) {
    case H1_RULE_LINE_BYTES:
        return REASON_TARGET_TOO_LONG;
    case H1_RULE_HEAD_BYTES:
    case H1_RULE_FIELD_COUNT:
        return REASON_HEAD_TOO_LARGE;
    case H1_RULE_VERSION:
        return REASON_VERSION_UNSUPPORTED;
    case H1_RULE_MEMORY:
        return REASON_OVERLOAD;
    default:
        return REASON_BAD_REQUEST;
    }
}

static void on_lingering(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct sluice_span bytes;
    enum err err = OK;

    session_take_linger(session);
    for (unsigned i = 0; i < READS_MAX && err == OK && conn_is_open(conn); i++) {
        err = conn_read(conn, &bytes);
        if (err == OK)
            session_take_linger(session);
    }
    if (!conn_is_open(conn))
        return;
    if ((err && err != ERR_AGAIN) || conn_settle(conn, false) != OK) {
        conn_close(conn);
    } else if (err == OK) {
        conn_yield(conn);
    }
}

/* -- events ------------------------------------------------------------------------ */

static void on_gone(struct conn *conn, enum err err)
{
    (void)err;
    conn_close(conn);
}

static void on_sent(struct conn *conn)
{
    (void)conn; /* its end follows by itself */
}

static void on_linger_alarm(struct conn *conn)
{
    conn_close(conn);
}

static void on_shaking_alarm(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct port_counters *counters = session->port->counters;
    bool awaits_header = session->proxied && session->proxied->state == PROXIED_AWAITED;

    counter_add(awaits_header ? &counters->proxy_timeout : &counters->tls_timeout, 1);
    conn_close(conn);
}

static void on_shaken_conn(struct conn *conn)
{
    on_shaken(session_of(conn));
}

static void on_unshaken_conn(struct conn *conn, enum err err)
{
    (void)err;
    on_unshaken(session_of(conn));
}

/* Before the first byte of a request. */
static const struct conn_ops shaking_ops = {
    .on_readable = on_lingering,
    .on_hangup = on_gone,
    .on_drained = on_shaken_conn,
    .on_progress = on_sent,
    .on_failed = on_unshaken_conn,
    .on_alarm = on_shaking_alarm,
    .on_closed = session_on_closed,
};

static const struct conn_ops linger_ops = {
    .on_readable = on_lingering,
    .on_hangup = on_gone,
    .on_drained = on_sent,
    .on_progress = on_sent,
    .on_failed = on_gone,
    .on_alarm = on_linger_alarm,
    .on_closed = session_on_closed,
};
