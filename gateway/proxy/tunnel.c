#include "proxy/tunnel.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "chain/run.h"
#include "net/conn.h"
#include "observe/access_pack.h"
#include "proxy/leg.h"
#include "proxy/record.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "upstream/outlier.h"
#include "upstream/tenancy.h"

#include <string.h>

enum tunnel_side { TUNNEL_DOWN, TUNNEL_UP };

enum { READS_MAX = 8 /* of one connection in a turn, then others get theirs */ };

/* What record_pack() has kept, exactly as long as it is. */
struct packed {
    uint32_t len;
    char bytes[];
};

/* One of these an idle WebSocket: keep it small. */
struct tunnel {
    struct tenancy up;
    struct conn *down; /* borrowed: its session's */
    struct worker *worker;
    const struct tally_block *route; /* struct route_counters; as long as the process */
    struct packed *packed;           /* owned; NULL: nothing */
    uint64_t begun_us;
    uint64_t ends_us; /* by its age; 0: it has no limit */
    uint64_t idle_ms;
    uint64_t bytes[2]; /* by the side that sent them */
    bool done[2];      /* the side has ended in order */
    bool held[2];      /* it is not read: the other one does not take more */
    bool lost;         /* the upstream did not take all of what was sent */
};

static const struct conn_ops client_ops, upstream_ops;

static struct tunnel *tunnel_of(struct conn *conn)
{
    return list_entry(tenancy_of(conn), struct tunnel, up);
}

static struct conn *conn_of(const struct tunnel *tunnel, enum tunnel_side side)
{
    return side == TUNNEL_DOWN ? tunnel->down : tunnel->up.conn;
}

static enum tunnel_side other(enum tunnel_side side)
{
    return side == TUNNEL_DOWN ? TUNNEL_UP : TUNNEL_DOWN;
}

void tunnel_look(struct tunnel *tunnel, struct tunnel_look *look)
{
    *look = (struct tunnel_look){.route = tunnel->route->key,
                                 .endpoint = tenancy_endpoint(&tunnel->up),
                                 .tenancy = &tunnel->up,
                                 .begun_us = tunnel->begun_us,
                                 .bytes_in = tunnel->bytes[TUNNEL_DOWN],
                                 .bytes_out = tunnel->bytes[TUNNEL_UP]};
}

size_t tunnel_bytes(void)
{
    return sizeof(struct tunnel);
}

/* -- time -------------------------------------------------------------------- */

uint64_t tunnel_time_left_ms(struct loop *loop, uint64_t idle_ms, uint64_t ends_us)
{
    uint64_t now_us, left_ms;

    if (ends_us == 0)
        return idle_ms;
    now_us = loop_now_us(loop);
    left_ms = ends_us > now_us ? (ends_us - now_us) / 1000 + 1 : 1;
    return idle_ms == 0 || left_ms < idle_ms ? left_ms : idle_ms;
}

/* Bytes have moved: its idle time begins anew. */
static void note_activity(struct tunnel *tunnel)
{
    conn_set_alarm(tunnel->down,
                   tunnel_time_left_ms(tunnel->worker->loop, tunnel->idle_ms, tunnel->ends_us));
}

/* -- ends -------------------------------------------------------------------- */

static struct route_counters *route_counters(const struct tunnel *tunnel)
{
    return tally_slot(tunnel->route, tunnel->worker->index);
}

static struct record_tunnel describe(const struct tunnel *tunnel, enum reason reason)
{
    struct record_tunnel told = {.route = tunnel->route,
                                 .endpoint = tenancy_endpoint(&tunnel->up),
                                 .begun_us = tunnel->begun_us,
                                 .bytes_in = tunnel->bytes[TUNNEL_DOWN],
                                 .bytes_out = tunnel->bytes[TUNNEL_UP],
                                 .reason = reason};

    session_tell(tunnel->down, &told.from);
    if (tunnel->packed)
        told.packed = span_make(tunnel->packed->bytes, tunnel->packed->len);
    return told;
}

/* Nothing may look at the tunnel after this. */
static void finish(struct tunnel *tunnel, enum reason reason)
{
    struct worker *worker = tunnel->worker;
    struct record_tunnel told = describe(tunnel, reason);

    record_tunnel_end(worker, &told);
    counter_sub(&worker->counters.tunnels, 1);
    counter_sub(&route_counters(tunnel)->tunnels, 1);
    if (reason == REASON_COMPLETED) {
        conn_close(tunnel->down);
    } else {
        conn_abort(tunnel->down);
        conn_abort(tunnel->up.conn);
    }
    tenancy_end(&tunnel->up);
    alloc_free(tunnel->packed);
    slab_give(&worker->tunnels, tunnel);
}

void tunnel_cut(struct tunnel *tunnel, enum reason reason)
{
    finish(tunnel, reason);
}

static void upstream_failed(struct tunnel *tunnel)
{
    struct endpoint *endpoint = tenancy_endpoint(&tunnel->up);

    endpoint_note_outcome(endpoint, OUTCOME_LOCAL);
    counter_add(&endpoint->counters->failures[ENDPOINT_RESET], 1);
    tunnel_cut(tunnel, REASON_UPSTREAM_RESET);
}

static void client_failed(struct tunnel *tunnel, enum err err)
{
    bool no_room = err == ERR_MEMORY || err == ERR_LIMIT;

    tunnel_cut(tunnel, no_room ? REASON_OVERLOAD : REASON_CLIENT_RESET);
}

static void side_failed(struct tunnel *tunnel, enum tunnel_side side, enum err err)
{
    if (side == TUNNEL_UP) {
        upstream_failed(tunnel);
    } else {
        client_failed(tunnel, err);
    }
}

static void on_expire(struct tenancy *tenancy)
{
    tunnel_cut(list_entry(tenancy, struct tunnel, up), REASON_TUNNEL_DRAINED);
}

/* -- moving bytes --------------------------------------------------------------- */

/* Send what was added to a side; false when the tunnel is over. */
static bool flush(struct tunnel *tunnel, enum tunnel_side side)
{
    enum tunnel_side from = other(side);
    enum err err = conn_flush(conn_of(tunnel, side));

    if (err == OK)
        return true;
    if (err == ERR_AGAIN) {
        if (!tunnel->done[from])
            conn_hold(conn_of(tunnel, from), CONN_HOLD_PEER);
        tunnel->held[from] = !tunnel->done[from];
        return true;
    }
    if (side == TUNNEL_DOWN || tunnel->done[TUNNEL_UP]) {
        side_failed(tunnel, side, err);
        return false;
    }
    /* It cannot take more, but it may have said something before it ended: reading tells. */
    tunnel->lost = true;
    conn_look(tunnel->up.conn);
    return true;
}

/* Pass on what one side has sent; false when the tunnel is over. */
static bool move(struct tunnel *tunnel, enum tunnel_side from, struct sluice_span bytes)
{
    struct route_counters *counters = route_counters(tunnel);

    tunnel->bytes[from] += bytes.len;
    counter_add(from == TUNNEL_DOWN ? &counters->request_bytes : &counters->response_bytes,
                bytes.len);
    note_activity(tunnel);
    conn_lend(conn_of(tunnel, other(from)), bytes);
    conn_consume(conn_of(tunnel, from), bytes.len);
    return flush(tunnel, other(from));
}

/* Both sides have ended: over when they have taken everything. */
static void finish_if_over(struct tunnel *tunnel)
{
    enum err up, down;

    if (!tunnel->done[TUNNEL_DOWN] || !tunnel->done[TUNNEL_UP])
        return;
    up = conn_flush(tunnel->up.conn);
    down = conn_flush(tunnel->down);
    if (up == ERR_AGAIN || down == ERR_AGAIN)
        return;
    if (up) {
        upstream_failed(tunnel);
    } else if (down) {
        client_failed(tunnel, down);
    } else {
        finish(tunnel, REASON_COMPLETED);
    }
}

/* A side has ended in order; its connection lives on for what the other one has to say. */
static void end_side(struct tunnel *tunnel, enum tunnel_side side)
{
    struct conn *conn = conn_of(tunnel, side);

    if (conn_settle(conn, false) != OK || (side == TUNNEL_UP && tunnel->lost)) {
        side_failed(tunnel, side, ERR_MEMORY);
        return;
    }
    tunnel->done[side] = true;
    conn_hold(conn, CONN_HOLD_TURN);
    note_activity(tunnel);
    conn_shut_write(conn_of(tunnel, other(side)));
    finish_if_over(tunnel);
}

static void on_readable(struct tunnel *tunnel, enum tunnel_side side)
{
    struct conn *conn = conn_of(tunnel, side), *to = conn_of(tunnel, other(side));
    struct sluice_span bytes = conn_peek(conn);
    unsigned reads = 0;
    enum err err = OK;

    for (;;) {
        if (bytes.len > 0 && !move(tunnel, side, bytes))
            return;
        if (tunnel->held[side] || reads++ == READS_MAX)
            break;
        err = conn_read_most(conn, conn_room(to) + LEG_SPARE_BYTES, &bytes);
        if (err)
            break;
    }
    if (err == ERR_CLOSED) {
        end_side(tunnel, side);
    } else if ((err && err != ERR_AGAIN) || conn_settle(conn, true) != OK) {
        side_failed(tunnel, side, err ? err : ERR_MEMORY);
    } else if (err == OK && !tunnel->held[side]) {
        conn_yield(conn);
    }
}

/* -- events ------------------------------------------------------------------------ */

static void on_hangup(struct tunnel *tunnel, enum tunnel_side side, enum err err)
{
    /* Of the upstream, the bytes that came before it are read first, then it shows again. */
    if (side == TUNNEL_UP && !tunnel->done[TUNNEL_UP])
        return;
    if (err == ERR_CLOSED && !conn_is_reset(conn_of(tunnel, side)))
        return; /* that is known, or will be read */
    side_failed(tunnel, side, ERR_RESET);
}

static void on_drained(struct tunnel *tunnel, enum tunnel_side side)
{
    enum tunnel_side from = other(side);

    note_activity(tunnel);
    if (tunnel->held[from]) {
        tunnel->held[from] = false;
        conn_release(conn_of(tunnel, from), CONN_HOLD_PEER);
    }
    finish_if_over(tunnel);
}

static void on_failed(struct tunnel *tunnel, enum tunnel_side side, enum err err)
{
    if (side == TUNNEL_UP && !tunnel->done[TUNNEL_UP]) {
        tunnel->lost = true;
        conn_look(tunnel->up.conn); /* reading tells why */
    } else {
        side_failed(tunnel, side, err);
    }
}

/* -- whose connection it is ----------------------------------------------------------- */

static void on_client_readable(struct conn *conn)
{
    on_readable(session_tunnel(conn), TUNNEL_DOWN);
}

static void on_client_hangup(struct conn *conn, enum err err)
{
    on_hangup(session_tunnel(conn), TUNNEL_DOWN, err);
}

static void on_client_drained(struct conn *conn)
{
    on_drained(session_tunnel(conn), TUNNEL_DOWN);
}

static void on_client_progress(struct conn *conn)
{
    note_activity(session_tunnel(conn));
}

static void on_client_failed(struct conn *conn, enum err err)
{
    on_failed(session_tunnel(conn), TUNNEL_DOWN, err);
}

static void on_timeout(struct conn *conn)
{
    tunnel_cut(session_tunnel(conn), REASON_TUNNEL_TIMEOUT);
}

static const struct conn_ops client_ops = {
    .on_readable = on_client_readable,
    .on_hangup = on_client_hangup,
    .on_drained = on_client_drained,
    .on_progress = on_client_progress,
    .on_failed = on_client_failed,
    .on_alarm = on_timeout,
    .on_closed = session_on_closed,
};

static void on_upstream_readable(struct conn *conn)
{
    on_readable(tunnel_of(conn), TUNNEL_UP);
}

static void on_upstream_hangup(struct conn *conn, enum err err)
{
    on_hangup(tunnel_of(conn), TUNNEL_UP, err);
}

static void on_upstream_drained(struct conn *conn)
{
    on_drained(tunnel_of(conn), TUNNEL_UP);
}

static void on_upstream_progress(struct conn *conn)
{
    note_activity(tunnel_of(conn));
}

static void on_upstream_failed(struct conn *conn, enum err err)
{
    on_failed(tunnel_of(conn), TUNNEL_UP, err);
}

static void on_nothing(struct conn *conn)
{
    (void)conn; /* its alarm is never set, and a tenancy is ended, not closed */
}

static const struct conn_ops upstream_ops = {
    .on_readable = on_upstream_readable,
    .on_hangup = on_upstream_hangup,
    .on_drained = on_upstream_drained,
    .on_progress = on_upstream_progress,
    .on_failed = on_upstream_failed,
    .on_alarm = on_nothing,
    .on_closed = on_nothing,
};

/* -- beginning ----------------------------------------------------------------------- */

/* Has it two connections to itself, and has nobody anything to say at its end? */
static bool is_separable(const struct exchange *ex)
{
    const struct leg_ops *down = ex->from.leg->ops, *up = ex->attempt->leg.ops;

    return down->hand_over && up->hand_over && !(ex->request_done && ex->response_done) &&
           !(ex->chain && chain_owes_end(ex->chain));
}

static const struct tally_block *route_of(const struct exchange *ex)
{
    return ex->view->snapshot->route_tally[ex->route->index];
}

/* Keep what the log line will need; false when there is no memory for it. */
static bool keep_line(struct tunnel *tunnel, struct exchange *ex)
{
    struct record_tunnel told = {.from = ex->from,
                                 .route = tunnel->route,
                                 .endpoint = ex->attempt->lease.endpoint,
                                 .begun_us = tunnel->begun_us};
    char bytes[ACCESS_PACK_MAX];
    size_t len = record_pack(ex, &told, bytes);

    tunnel->packed = NULL;
    if (len == 0)
        return true;
    tunnel->packed = alloc_try(sizeof(struct packed) + len);
    if (!tunnel->packed)
        return false;
    tunnel->packed->len = (uint32_t)len;
    memcpy(tunnel->packed->bytes, bytes, len);
    return true;
}

static struct tunnel *tunnel_new(struct exchange *ex)
{
    struct worker *worker = ex->worker;
    struct tunnel *tunnel = slab_take(&worker->tunnels);

    if (!tunnel)
        return NULL;
    memset(tunnel, 0, sizeof(*tunnel));
    tunnel->worker = worker;
    tunnel->route = route_of(ex);
    tunnel->begun_us = ex->begun_us;
    tunnel->ends_us = ex->tunnel->ends_us;
    tunnel->idle_ms = ex->times.tunnel_ms;
    if (!keep_line(tunnel, ex)) {
        slab_give(&worker->tunnels, tunnel);
        return NULL;
    }
    return tunnel;
}

void tunnel_take_client(struct tunnel *tunnel, struct conn *conn)
{
    tunnel->down = conn;
    conn_set_ops(conn, &client_ops);
}

void tunnel_take_upstream(struct tunnel *tunnel, struct lease *lease, bool lost)
{
    tunnel->up.expire = on_expire;
    tunnel->lost = lost;
    tenancy_begin(&tunnel->up, lease, &upstream_ops);
}

bool tunnel_begin(struct exchange *ex)
{
    struct leg *down = ex->from.leg, *up = &ex->attempt->leg;
    struct tunnel *tunnel;

    if (!is_separable(ex))
        return false;
    tunnel = tunnel_new(ex);
    if (!tunnel)
        return false;
    record_moved(ex);
    tunnel->bytes[TUNNEL_DOWN] = (uint64_t)ex->request_bytes;
    tunnel->bytes[TUNNEL_UP] = (uint64_t)ex->response_bytes;
    tunnel->done[TUNNEL_DOWN] = ex->request_done;
    tunnel->done[TUNNEL_UP] = ex->response_done;
    tunnel->held[TUNNEL_DOWN] = ex->down_held;
    tunnel->held[TUNNEL_UP] = ex->up_held;
    up->ops->hand_over(up, tunnel);
    down->ops->hand_over(down, tunnel);
    note_activity(tunnel);
    return true;
}
