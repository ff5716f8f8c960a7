/*
 * session_h2.c - HTTP/2 on a downstream connection: bytes in, frames out, its alarm, its end.
 *
 * What is read is handed to http/h2 at once, whole; what streams cannot take is held back there, by
 * their windows. Frames are gathered until the end of the loop's turn and leave in one piece,
 * unless there is much of them.
 *
 * The alarm of the connection means, in this order: the client takes nothing (write), our second
 * GOAWAY is due, it has asked for nothing (idle), it may have gone with what it said last (look),
 * or it may be dead (PING).
 */
#include "proxy/session_h2.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/conn.h"
#include "proxy/worker.h"

enum {
    READS_MAX = 8,          /* of one connection in a turn, then others get theirs */
    FINAL_GOAWAY_MS = 1000, /* for a client that does not answer the PING before it */
    REST_MS = 2000,         /* idle so long, a connection gives back what it can do without */
};

static const struct conn_ops multiplex_conn_ops;

static struct session *session_of(struct conn *conn)
{
    return (struct session *)(void *)conn;
}

/* -- its end --------------------------------------------------------------------- */

/* See the client off: what was said is sent, what it still sends is read for a while. */
static void end(struct multiplex *multiplex)
{
    struct session *session = multiplex->session;

    if (session->state != SESSION_MULTIPLEX || !conn_is_open(&session->conn))
        return;
    soon_cancel(&multiplex->soon);
    if (conn_flush(&session->conn) != OK && multiplex->blocked) {
        conn_abort(&session->conn); /* it takes nothing, not even that */
    } else {
        session_linger(session);
    }
}

/* The connection is gone, with whatever was under way. */
static void fail(struct multiplex *multiplex, enum reason reason)
{
    stream_leave(multiplex);
    stream_cut_all(multiplex, reason);
    if (multiplex->session->state == SESSION_MULTIPLEX)
        conn_close(&multiplex->session->conn);
}

/* After h2 has ended it by itself: what it has to say goes first. */
static void give_up(struct multiplex *multiplex)
{
    h2_pull(multiplex->h2);
    (void)multiplex_send(multiplex);
    stream_leave(multiplex);
    stream_cut_all(multiplex, REASON_CLIENT_RESET);
    end(multiplex);
}

void session_h2_end(struct session *session)
{
    struct multiplex *multiplex = session->multiplex;

    session->multiplex = NULL;
    soon_cancel(&multiplex->soon);
    stream_leave(multiplex);
    stream_cut_all(multiplex, REASON_CLIENT_RESET);
    h2_free(&multiplex->h2);
    counter_sub(&session->port->counters->h2_open, 1);
    alloc_free(multiplex);
}

/* -- sending ------------------------------------------------------------------------ */

enum err multiplex_send(struct multiplex *multiplex)
{
    struct conn *conn = &multiplex->session->conn;
    enum err err = conn_flush_later(conn);

    if (err == OK)
        return OK;
    if (err != ERR_AGAIN) {
        conn_look(conn); /* reading tells why */
        return err;
    }
    if (!multiplex->blocked) {
        multiplex->blocked = true;
        h2_block(multiplex->h2);
        multiplex_set_alarm(multiplex);
    }
    return ERR_AGAIN;
}

static void on_soon(struct soon *soon)
{
    struct multiplex *multiplex = list_entry(soon, struct multiplex, soon);

    multiplex->running = true;
    h2_run(multiplex->h2);
    multiplex->running = false;
    stream_leave(multiplex);
    stream_begin_fresh(multiplex);
    if (multiplex->drain == DRAIN_NOTICE && !multiplex->pinged) {
        multiplex->pinged = true; /* behind the GOAWAY that it measures the way of */
        h2_ping(multiplex->h2);
        h2_pull(multiplex->h2);
    }
    (void)multiplex_send(multiplex);
    if (h2_is_over(multiplex->h2))
        give_up(multiplex);
}

void multiplex_wake(struct multiplex *multiplex)
{
    if (multiplex->session->state == SESSION_MULTIPLEX)
        loop_soon(multiplex->session->conn.loop, &multiplex->soon);
}

/* -- draining ---------------------------------------------------------------------------- */

static void go_away(struct multiplex *multiplex)
{
    if (multiplex->drain == DRAIN_FINAL)
        return;
    multiplex->drain = DRAIN_FINAL;
    h2_goaway(multiplex->h2, H2_NO_ERROR);
    multiplex_set_alarm(multiplex);
}

void multiplex_drain(struct multiplex *multiplex)
{
    if (multiplex->drain != DRAIN_NONE)
        return;
    multiplex->drain = DRAIN_NOTICE;
    h2_shutdown_notice(multiplex->h2);
    multiplex_wake(multiplex);
    multiplex_set_alarm(multiplex);
}

void session_h2_cut(struct session *session, enum reason reason)
{
    fail(session->multiplex, reason);
}

/* -- the alarm --------------------------------------------------------------------------- */

/* Where PING comes as soon, that finds out as well. */
static bool may_look(const struct listener_conf *conf)
{
    return conf->http2.keepalive_ms == 0 || conf->http2.keepalive_ms > SESSION_LOOK_MS;
}

void multiplex_set_alarm(struct multiplex *multiplex)
{
    struct session *session = multiplex->session;
    const struct listener_conf *conf = session_conf(session);
    uint64_t ms = conf->http2.keepalive_ms;

    if (session->state != SESSION_MULTIPLEX)
        return;
    multiplex->looks = false;
    if (multiplex->blocked) {
        ms = conf->timeout.write_ms;
    } else if (multiplex->drain == DRAIN_NOTICE) {
        ms = FINAL_GOAWAY_MS;
    } else if (multiplex->n_streams == 0) {
        ms = session->requests == 0 ? conf->timeout.head_ms : conf->timeout.idle_ms;
        multiplex->rests = session->requests > 0 && ms > REST_MS;
        if (multiplex->rests)
            ms = REST_MS;
    } else if (may_look(conf)) {
        multiplex->looks = true;
        ms = SESSION_LOOK_MS;
    }
    multiplex->heard = false;
    conn_set_alarm(&session->conn, ms);
}

/* As session_h1.c: the first ring only notes how much there is. */
static bool takes_slowly(struct multiplex *multiplex)
{
    uint32_t before = multiplex->untaken_bytes;

    multiplex->untaken_bytes = conn_untaken_bytes(&multiplex->session->conn);
    return before == 0 || multiplex->untaken_bytes < before;
}

/* Streams are open and nothing is heard of the client. */
static void on_silence(struct multiplex *multiplex)
{
    if (multiplex->asked && !multiplex->heard) {
        counter_add(&multiplex->session->port->counters->h2_dead, 1);
        fail(multiplex, REASON_CLIENT_RESET);
        return;
    }
    if (!multiplex->heard) {
        multiplex->asked = true;
        h2_ping(multiplex->h2);
    }
    multiplex_set_alarm(multiplex);
}

/* Something has come, and perhaps a reset with it, while streams are open. */
static void look_later(struct multiplex *multiplex)
{
    if (multiplex->n_streams > 0 && !multiplex->blocked && multiplex->drain != DRAIN_NOTICE &&
        may_look(session_conf(multiplex->session)))
        multiplex_set_alarm(multiplex);
}

/* That reset has no event of its own: reading tells. Then it is PING's turn. */
static void look(struct multiplex *multiplex)
{
    struct conn *conn = &multiplex->session->conn;
    uint64_t ms = session_conf(multiplex->session)->http2.keepalive_ms;

    multiplex->looks = false;
    conn_set_alarm(conn, ms > SESSION_LOOK_MS ? ms - SESSION_LOOK_MS : 0);
    conn_look(conn);
}

static void on_alarm(struct conn *conn)
{
    struct session *session = session_of(conn);
    struct multiplex *multiplex = session->multiplex;

    if (multiplex->rests && multiplex->n_streams == 0 && !multiplex->blocked &&
        multiplex->drain != DRAIN_NOTICE) {
        multiplex->rests = false;
        h2_rest(multiplex->h2);
        conn_set_alarm(conn, session_conf(session)->timeout.idle_ms - REST_MS);
    } else if (multiplex->blocked && takes_slowly(multiplex)) {
        conn_set_alarm(conn, session_conf(session)->timeout.write_ms);
    } else if (multiplex->blocked) {
        conn_abort(conn); /* the kernel must not keep for the client what it does not take */
        fail(multiplex, REASON_WRITE_TIMEOUT);
    } else if (multiplex->drain == DRAIN_NOTICE ||
               (multiplex->n_streams == 0 && multiplex->drain == DRAIN_NONE)) {
        go_away(multiplex);
    } else if (multiplex->n_streams == 0) {
        end(multiplex); /* it does not close what we have left */
    } else if (multiplex->looks) {
        look(multiplex);
    } else {
        on_silence(multiplex);
    }
}

/* -- reading -------------------------------------------------------------------------------- */

/* False when the connection is over. */
static bool take(struct multiplex *multiplex, struct sluice_span bytes)
{
    struct conn *conn = &multiplex->session->conn;
    enum err err;

    if (bytes.len == 0)
        return true;
    multiplex->heard = true;
    multiplex->hasty = false;
    err = h2_feed(multiplex->h2, bytes, loop_now_us(conn->loop));
    stream_leave(multiplex);
    if (err == OK)
        stream_begin_fresh(multiplex);
    if (conn_is_open(conn))
        conn_consume(conn, bytes.len);
    if (err) {
        give_up(multiplex);
        return false;
    }
    if (!multiplex->looks)
        look_later(multiplex);
    return conn_is_open(conn) && multiplex->session->state == SESSION_MULTIPLEX;
}

static enum reason reason_of(enum err err)
{
    return session_reason_of_end(err);
}

/* It is over, and perhaps not closed yet: what the loop has lent goes back all the same. */
static void let_go(struct conn *conn)
{
    if (conn_is_open(conn) && conn_settle(conn, true) != OK)
        conn_close(conn);
}

static void on_readable(struct conn *conn)
{
    struct multiplex *multiplex = session_of(conn)->multiplex;
    struct sluice_span bytes = conn_peek(conn);
    enum err err = OK;
    bool goes_on = take(multiplex, bytes);

    for (unsigned i = 0; i < READS_MAX && err == OK && goes_on; i++) {
        if (i > 0 && conn_is_read_out(conn))
            break;
        err = conn_read(conn, &bytes);
        if (err == OK)
            goes_on = take(multiplex, bytes);
    }
    if (!goes_on) {
        let_go(conn);
        return;
    }
    if (err && err != ERR_AGAIN) {
        fail(multiplex, reason_of(err));
        return;
    }
    h2_pull(multiplex->h2);
    (void)multiplex_send(multiplex);
    if (conn_settle(conn, false) != OK) {
        fail(multiplex, REASON_OVERLOAD);
    } else if (h2_is_over(multiplex->h2)) {
        give_up(multiplex);
    } else if (err == OK && !conn_is_read_out(conn)) {
        conn_yield(conn);
    }
}

/* -- events --------------------------------------------------------------------------------- */

static void on_hangup(struct conn *conn, enum err err)
{
    fail(session_of(conn)->multiplex, reason_of(err));
}

static void on_drained(struct conn *conn)
{
    struct multiplex *multiplex = session_of(conn)->multiplex;

    multiplex->untaken_bytes = 0;
    if (!multiplex->blocked)
        return;
    multiplex->blocked = false;
    h2_unblock(multiplex->h2);
    multiplex_set_alarm(multiplex);
    on_soon(&multiplex->soon);
}

static void on_progress(struct conn *conn)
{
    struct multiplex *multiplex = session_of(conn)->multiplex;

    multiplex->untaken_bytes = 0;
    if (multiplex->blocked)
        multiplex_set_alarm(multiplex);
}

static void on_failed(struct conn *conn, enum err err)
{
    fail(session_of(conn)->multiplex, reason_of(err));
}

static const struct conn_ops multiplex_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = session_on_closed,
};

/* -- life ----------------------------------------------------------------------------------- */

void session_h2_begin(struct session *session)
{
    struct port *port = session->port;
    struct multiplex *multiplex = alloc_zero_try(sizeof(*multiplex));

    if (!multiplex) {
        conn_close(&session->conn);
        return;
    }
    multiplex->session = session;
    multiplex->begun_us = loop_now_us(session->conn.loop);
    multiplex->quiet_since = conn_tick(session->conn.loop);
    list_init(&multiplex->streams);
    list_init(&multiplex->fresh);
    soon_init(&multiplex->soon, on_soon);
    multiplex->h2 =
        h2_new(port->worker->h2, H2_SERVER, &port->h2_settings, &session_h2_ops, multiplex);
    if (!multiplex->h2) {
        alloc_free(multiplex);
        conn_close(&session->conn);
        return;
    }
    counter_add(&port->counters->h2_accepted, 1);
    counter_add(&port->counters->h2_open, 1);
    session->multiplex = multiplex;
    session_enter(session, SESSION_MULTIPLEX);
    conn_set_ops(&session->conn, &multiplex_conn_ops);
    multiplex_set_alarm(multiplex);
    multiplex_wake(multiplex); /* our SETTINGS */
    conn_look(&session->conn);
}
