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

/* What holds of a side, a bit each. */
enum side_is {
    IS_DONE = 1, /* it has ended in order */
    IS_HELD = 2, /* it is not read: the other one does not take more */
    IS_LOST = 4, /* the upstream: it did not take all of what was sent */
};

/* One of these an idle WebSocket: keep it small. */
struct tunnel {
    struct tenancy up;
    struct conn *down;               /* borrowed: its session's */
    const struct tally_block *route; /* struct route_counters; as long as the process */
    char *packed;                    /* owned: what record_pack() has kept */
    uint64_t begun_us;
    uint64_t ends_us;      /* by its age; 0: it has no limit */
    uint64_t bytes[2];     /* by the side that sent them */
    uint32_t idle_ticks;   /* of ALARM_TICK_MS: how long it may be quiet; 0: no limit */
    uint16_t packed_bytes; /* 0: nothing */
    uint8_t sides[2];      /* enum side_is */
};

_Static_assert(ACCESS_PACK_MAX <= UINT16_MAX, "packed_bytes");

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

static struct worker *worker_of(const struct tunnel *tunnel)
{
    return session_worker(tunnel->down);
}

static bool is(const struct tunnel *tunnel, enum tunnel_side side, enum side_is what)
{
    return (tunnel->sides[side] & what) != 0;
}

static void set(struct tunnel *tunnel, enum tunnel_side side, enum side_is what, bool holds)
{
    unsigned rest = tunnel->sides[side] & ~(unsigned)what;

    tunnel->sides[side] = (uint8_t)(rest | (holds ? what : 0));
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
    uint64_t idle_ms = (uint64_t)tunnel->idle_ticks * ALARM_TICK_MS;

    conn_set_alarm(tunnel->down, tunnel_time_left_ms(tunnel->down->loop, idle_ms, tunnel->ends_us));
}

/* -- ends -------------------------------------------------------------------- */

static struct route_counters *route_counters(const struct tunnel *tunnel)
{
    return tally_slot(tunnel->route, worker_of(tunnel)->index);
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
    told.packed = span_make(tunnel->packed, tunnel->packed_bytes);
    return told;
}

/* Nothing may look at the tunnel after this. */
static void finish(struct tunnel *tunnel, enum reason reason)
{
    struct worker *worker = worker_of(tunnel);
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

/* -- moving bytes --------------------------------------------------------------- */

/* Send what was added to a side; false when the tunnel is over. */
static bool flush(struct tunnel *tunnel, enum tunnel_side side)
{
    enum tunnel_side from = other(side);
    enum err err = conn_flush(conn_of(tunnel, side));

    if (err == OK)
        return true;
    if (err == ERR_AGAIN) {
        if (!is(tunnel, from, IS_DONE))
            conn_hold(conn_of(tunnel, from), CONN_HOLD_PEER);
        set(tunnel, from, IS_HELD, !is(tunnel, from, IS_DONE));
        return true;
    }
    if (side == TUNNEL_DOWN || is(tunnel, TUNNEL_UP, IS_DONE)) {
        side_failed(tunnel, side, err);
        return false;
    }
    /* It cannot take more, but it may have said something before it ended: reading tells. */
    set(tunnel, TUNNEL_UP, IS_LOST, true);
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

    if (!is(tunnel, TUNNEL_DOWN, IS_DONE) || !is(tunnel, TUNNEL_UP, IS_DONE))
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

    if (conn_settle(conn, false) != OK || is(tunnel, side, IS_LOST)) {
        side_failed(tunnel, side, ERR_MEMORY);
        return;
    }
    set(tunnel, side, IS_DONE, true);
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
        if (is(tunnel, side, IS_HELD) || reads++ == READS_MAX)
            break;
        err = conn_read_most(conn, conn_room(to) + LEG_SPARE_BYTES, &bytes);
        if (err)
            break;
    }
    if (err == ERR_CLOSED) {
        end_side(tunnel, side);
    } else if ((err && err != ERR_AGAIN) || conn_settle(conn, true) != OK) {
        side_failed(tunnel, side, err ? err : ERR_MEMORY);
    } else if (err == OK && !is(tunnel, side, IS_HELD)) {
        conn_yield(conn);
    }
}

/* -- events ------------------------------------------------------------------------ */

static void on_hangup(struct tunnel *tunnel, enum tunnel_side side, enum err err)
{
    /* Of the upstream, the bytes that came before it are read first, then it shows again. */
    if (side == TUNNEL_UP && !is(tunnel, TUNNEL_UP, IS_DONE))
        return;
    if (err == ERR_CLOSED && !conn_is_reset(conn_of(tunnel, side)))
        return; /* that is known, or will be read */
    side_failed(tunnel, side, ERR_RESET);
}

static void on_drained(struct tunnel *tunnel, enum tunnel_side side)
{
    enum tunnel_side from = other(side);

    note_activity(tunnel);
    if (is(tunnel, from, IS_HELD)) {
        set(tunnel, from, IS_HELD, false);
        conn_release(conn_of(tunnel, from), CONN_HOLD_PEER);
    }
    finish_if_over(tunnel);
}

static void on_failed(struct tunnel *tunnel, enum tunnel_side side, enum err err)
{
    if (side == TUNNEL_UP && !is(tunnel, TUNNEL_UP, IS_DONE)) {
        set(tunnel, TUNNEL_UP, IS_LOST, true);
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

/* Its endpoint has left, and the time that tunnels have after that is over. */
static void on_expire(struct conn *conn)
{
    tunnel_cut(tunnel_of(conn), REASON_TUNNEL_DRAINED);
}

static void on_nothing(struct conn *conn)
{
    (void)conn; /* a tenancy is ended, not closed */
}

static const struct conn_ops upstream_ops = {
    .on_readable = on_upstream_readable,
    .on_hangup = on_upstream_hangup,
    .on_drained = on_upstream_drained,
    .on_progress = on_upstream_progress,
    .on_failed = on_upstream_failed,
    .on_alarm = on_expire,
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

    if (len == 0)
        return true;
    tunnel->packed = alloc_try(len);
    if (!tunnel->packed)
        return false;
    tunnel->packed_bytes = (uint16_t)len;
    memcpy(tunnel->packed, bytes, len);
    return true;
}

/* Rounded up; what is too long for it is longer than an alarm can be set. */
static uint32_t ticks_of(uint64_t ms)
{
    uint64_t ticks = ms / ALARM_TICK_MS + (ms % ALARM_TICK_MS > 0);

    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

static struct tunnel *tunnel_new(struct exchange *ex)
{
    struct worker *worker = ex->worker;
    struct tunnel *tunnel = slab_take(&worker->tunnels);

    if (!tunnel)
        return NULL;
    memset(tunnel, 0, sizeof(*tunnel));
    tunnel->route = route_of(ex);
    tunnel->begun_us = ex->begun_us;
    tunnel->ends_us = ex->tunnel->ends_us;
    tunnel->idle_ticks = ticks_of(ex->times.tunnel_ms);
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
    set(tunnel, TUNNEL_UP, IS_LOST, lost);
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
    set(tunnel, TUNNEL_DOWN, IS_DONE, ex->request_done);
    set(tunnel, TUNNEL_UP, IS_DONE, ex->response_done);
    set(tunnel, TUNNEL_DOWN, IS_HELD, ex->down_held);
    set(tunnel, TUNNEL_UP, IS_HELD, ex->up_held);
    up->ops->hand_over(up, tunnel);
    down->ops->hand_over(down, tunnel);
    note_activity(tunnel);
    return true;
}
