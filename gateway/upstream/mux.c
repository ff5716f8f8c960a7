#include "upstream/mux_state.h"

#include "base/alloc.h"
#include "net/preface.h"

enum { FRESH_MS = 1000 /* who wants no kept connection takes one that is this young */ };

/* -- numbers ------------------------------------------------------------- */

/* Is it counted among the connections with requests on them, or among the idle? */
static void count_as(struct mux *mux, bool busy)
{
    struct endpoint_counters *counters = mux->endpoint->counters;

    if (mux->busy == busy)
        return;
    counter_sub(mux->busy ? &counters->active : &counters->idle, 1);
    counter_add(busy ? &counters->active : &counters->idle, 1);
    mux->busy = busy;
}

/* -- ends -------------------------------------------------------------------- */

/* Of this endpoint no longer. What is left to be said is said at the end of the turn. */
void mux_detach(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;

    counter_sub(mux->busy ? &endpoint->counters->active : &endpoint->counters->idle, 1);
    if (mux->h2)
        counter_sub(&endpoint->counters->h2_connections, 1);
    list_remove(&mux->link);
    alarm_disarm(&mux->ping);
    mux->state = MUX_ENDED;
    pool_detach(mux->pooled);
    conn_set_alarm(mux_conn(mux), 0);
}

static void end(struct mux *mux)
{
    mux_detach(mux);
    loop_soon(mux->loop, &mux->soon);
}

void mux_free_unused(struct mux *mux)
{
    if (!mux->closed || mux->n_leases > 0 || mux->delivering)
        return;
    h2_free(&mux->h2);
    soon_cancel(&mux->soon);
    pool_free(mux->pooled);
    alloc_free(mux);
}

/* Nobody is on it any more: may it stay? */
static void on_unused(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;
    bool kept = mux->state == MUX_OPEN && endpoint_keeps(endpoint, mux->pooled) &&
                mux_upstream(mux)->limits.idle > 0 && !pool_is_expired(endpoint, mux->pooled) &&
                !endpoint_others_wait(endpoint);

    alarm_disarm(&mux->ping);
    if (!kept) {
        end(mux);
        return;
    }
    count_as(mux, false);
    pool_set_idle_alarm(mux->pooled);
}

/* A lease is of this mux no longer. */
static void take_out(struct mux *mux, struct lease *lease)
{
    if (!lease->is_open) {
        mux->n_waiting--;
        if (lease->dialling)
            mux->n_dialling--;
        if (!list_is_empty(&lease->line))
            list_remove(&lease->line);
    }
    mux->n_leases--;
    lease->mux = NULL;
    lease->stream = NULL;
    lease->dialling = lease->is_open = false;
}

void mux_leave(struct lease *lease)
{
    struct mux *mux = lease->mux;
    struct endpoint *endpoint = lease->endpoint;

    if (lease->is_open) {
        counter_sub(&endpoint->counters->streams, 1);
        if (lease->stream)
            h2_leave(lease->stream);
        if (!mux->closed)
            loop_soon(mux->loop, &mux->soon);
    }
    take_out(mux, lease);
    endpoint_unhold(endpoint, lease);
    if (mux->state == MUX_ENDED) {
        mux_free_unused(mux);
    } else if (mux->n_leases == 0 &&
               (mux->state != MUX_DIALLING || !endpoint_keeps(endpoint, mux->pooled))) {
        on_unused(mux);
    }
    endpoint_settle(endpoint);
}

void mux_drain(struct mux *mux)
{
    if (mux->state == MUX_OPEN)
        mux->state = MUX_DRAINING;
    if (mux->n_leases == 0)
        end(mux);
}

void mux_drain_all(struct endpoint *endpoint)
{
    struct list *next;

    for (struct list *node = endpoint->muxes.next; node != &endpoint->muxes; node = next) {
        next = node->next;
        mux_drain(list_entry(node, struct mux, link));
    }
}

bool mux_drop_idle(struct endpoint *endpoint)
{
    list_each (node, &endpoint->muxes) {
        struct mux *mux = list_entry(node, struct mux, link);

        if (mux->state == MUX_OPEN && mux->n_leases == 0) {
            end(mux);
            upstream_wake(endpoint->upstream);
            return true;
        }
    }
    return false;
}

void mux_give_way(struct endpoint *endpoint)
{
    list_each (node, &endpoint->muxes) {
        struct mux *mux = list_entry(node, struct mux, link);

        if (mux->state == MUX_DRAINING)
            return; /* one at a time */
    }
    list_each (node, &endpoint->muxes) {
        struct mux *mux = list_entry(node, struct mux, link);

        if (mux->state == MUX_OPEN) {
            mux_drain(mux);
            return;
        }
    }
}

/* -- the dial ------------------------------------------------------------------------------ */

static struct lease *next_waiting(struct mux *mux)
{
    list_each (node, &mux->waiting) {
        struct lease *lease = list_entry(node, struct lease, line);

        if (lease->dialling)
            return lease;
    }
    return NULL;
}

/* The others need a connection of their own, if there is room for one. */
static void send_away(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;
    struct lease *lease;

    while ((lease = next_waiting(mux)) != NULL) {
        take_out(mux, lease);
        endpoint_unhold(endpoint, lease);
        upstream_queue(endpoint->upstream, lease);
    }
}

void mux_fail_waiting(struct mux *mux, enum err err)
{
    struct endpoint *endpoint = mux->endpoint;
    struct lease *lease;

    endpoint->active++; /* it stays until all have been told */
    while ((lease = next_waiting(mux)) != NULL) {
        take_out(mux, lease);
        endpoint_unhold(endpoint, lease);
        lease->endpoint = endpoint;
        lease->dialled = true;
        lease->ready(lease, err);
    }
    endpoint->active--;
    endpoint_settle(endpoint);
}

void mux_fail_dial(struct mux *mux, enum err err)
{
    mux_detach(mux);
    conn_close(mux_conn(mux));
    mux_fail_waiting(mux, err);
}

/* How many more leases there is room for. */
static bool has_room(const struct mux *mux)
{
    uint64_t max = mux_upstream(mux)->http2.max_streams;

    uint64_t learnt = mux->endpoint->max_streams;

    if (mux->state == MUX_OPEN && mux->known)
        return mux->n_leases < max && h2_stream_room(mux->h2) > mux->n_waiting;
    if (learnt > 0 && learnt < max)
        max = learnt;
    return mux->state <= MUX_OPEN && mux->n_leases < (mux->alone ? 1 : max);
}

/* May one who waits have a stream? Of an endpoint that nothing is known of, one may. */
static bool can_grant(const struct mux *mux)
{
    unsigned granted = mux->n_leases - mux->n_dialling;
    uint64_t max = mux->endpoint->max_streams;

    if (mux->state != MUX_OPEN)
        return false;
    if (!mux->known)
        return !mux->endpoint->shut && granted < (max > 0 ? max : 1);
    return granted < mux_upstream(mux)->http2.max_streams &&
           h2_stream_room(mux->h2) > mux->n_waiting - mux->n_dialling;
}

/* A lease may open a stream now. */
static void grant(struct mux *mux, struct lease *lease)
{
    lease->dialling = false;
    mux->n_dialling--;
    lease->reused = mux->pooled->requests > 0;
    lease->connecting = false;
    mux->pooled->requests++;
    count_as(mux, true);
    if (mux->known)
        conn_set_alarm(mux_conn(mux), 0); /* else it must say what it can do in time */
    if (!alarm_is_armed(&mux->ping) && mux_upstream(mux)->http2.ping_ms > 0) {
        mux->heard = mux->pinged = false;
        alarm_arm(mux->loop, &mux->ping, mux_upstream(mux)->http2.ping_ms);
    }
}

void mux_serve(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;
    struct lease *lease;

    endpoint->active++; /* what ready() ends must not take it away */
    while (can_grant(mux) && (lease = next_waiting(mux)) != NULL) {
        grant(mux, lease);
        lease->ready(lease, OK);
    }
    if (mux->known || mux->state != MUX_OPEN)
        send_away(mux);
    if (mux->state == MUX_OPEN && !endpoint_keeps(endpoint, mux->pooled))
        mux->state = MUX_DRAINING;
    if (mux->state != MUX_ENDED && mux->n_leases == 0)
        on_unused(mux);
    endpoint->active--;
    endpoint_settle(endpoint);
}

/* It stands, and speaks HTTP/2. */
static void open_up(struct mux *mux)
{
    if (mux_speak(mux) != OK) {
        mux_fail_dial(mux, ERR_MEMORY);
        return;
    }
    mux->state = MUX_OPEN;
    mux->endpoint->speaks = SPEAK_H2;
    counter_add(&mux->endpoint->counters->h2_connections, 1);
    loop_soon(mux->loop, &mux->soon);
    mux_serve(mux);
}

/* It stands, and speaks HTTP/1: the first who waits has it for itself. */
static void hand_over(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;
    struct pooled *pooled = mux->pooled;
    struct lease *lease = next_waiting(mux);

    endpoint->speaks = SPEAK_H1;
    if (!lease) {
        end(mux); /* whoever needed it is gone */
        return;
    }
    list_remove(&mux->link);
    counter_sub(mux->busy ? &endpoint->counters->active : &endpoint->counters->idle, 1);
    take_out(mux, lease);
    lease->reused = lease->connecting = false;
    pooled->mux = NULL;
    conn_set_alarm(&pooled->conn, 0);
    endpoint_own(endpoint, pooled, lease);
    endpoint->active++; /* what ready() ends must not take it away */
    send_away(mux);
    soon_cancel(&mux->soon);
    alloc_free(mux);
    lease->ready(lease, OK);
    endpoint->active--;
    endpoint_settle(endpoint);
}

void mux_on_dialled(struct mux *mux)
{
    struct upstream *upstream = mux->endpoint->upstream;

    if (!upstream->tls || span_equal(tls_protocol(mux_conn(mux)), SPAN("h2"))) {
        open_up(mux);
    } else if (upstream->protocol == SPEAK_AUTO) {
        hand_over(mux);
    } else {
        upstream_say_unshaken(upstream, mux->endpoint, SPAN("it does not agree to HTTP/2"));
        mux_fail_dial(mux, ERR_PROTOCOL);
    }
}

void mux_on_time(struct mux *mux)
{
    struct endpoint *endpoint = mux->endpoint;

    if (mux->state == MUX_DIALLING) {
        mux_fail_dial(mux, ERR_TIMEOUT);
        return;
    }
    if (!mux->known) {
        mux_lose(mux, ENDPOINT_CONNECT_TIMEOUT, "no SETTINGS came");
        return;
    }
    if (mux->state != MUX_OPEN || mux->n_leases > 0)
        return;
    if (mux->pooled->ages)
        counter_add(&endpoint->counters->aged, 1);
    end(mux);
    endpoint_settle(endpoint);
}

void mux_on_closed(struct mux *mux)
{
    mux->closed = true;
    mux_free_unused(mux);
}

/* -- leases ---------------------------------------------------------------------------------- */

static void join(struct mux *mux, struct lease *lease)
{
    endpoint_hold(mux->endpoint, lease);
    lease->mux = mux;
    lease->stream = NULL;
    lease->is_open = false;
    lease->dialling = true;
    list_append(&mux->waiting, &lease->line);
    mux->n_leases++;
    mux->n_waiting++;
    mux->n_dialling++;
    if (can_grant(mux))
        grant(mux, lease);
}

static enum err dial(struct endpoint *endpoint, struct lease *lease)
{
    const struct upstream *upstream = endpoint->upstream;
    struct pooled *pooled;
    struct mux *mux;
    bool connected;
    enum err err = pool_dial(endpoint, lease, &mux_conn_ops, &pooled, &connected);

    if (err)
        return err;
    mux = alloc_new(sizeof(*mux));
    mux->pooled = pooled;
    mux->endpoint = endpoint;
    mux->loop = upstream->loop;
    mux->alone = upstream->protocol == SPEAK_AUTO && endpoint->speaks == SPEAK_H1;
    mux->busy = true;
    list_init(&mux->waiting);
    list_init(&mux->batch);
    soon_init(&mux->soon, mux_run_soon);
    alarm_init(&mux->ping, mux_on_ping);
    pooled->mux = mux;
    list_push(&endpoint->muxes, &mux->link);
    counter_add(&endpoint->counters->active, 1);
    join(mux, lease);
    if (connected) {
        conn_set_alarm(&pooled->conn, 0);
        mux->connected = true; /* told at the end of the turn, as all else */
        loop_soon(mux->loop, &mux->soon);
    } else {
        conn_set_alarm(&pooled->conn, upstream->connect_ms);
    }
    return OK;
}

/*
 * May this lease be of it: did it begin as it must, is it young enough for who wants no kept one?
 */
static bool suits(const struct mux *mux, const struct lease *lease)
{
    bool is_old =
        mux->state != MUX_DIALLING && pool_age_ms(mux->pooled, loop_now_us(mux->loop)) >= FRESH_MS;

    return !(lease->fresh && is_old) &&
           preface_is(mux->pooled->preface, pool_preface(mux->endpoint, lease));
}

/* The first that has room; standing ones first, as they were made last. */
static struct mux *find(const struct endpoint *endpoint, const struct lease *lease, bool standing)
{
    list_each (node, &endpoint->muxes) {
        struct mux *mux = list_entry(node, struct mux, link);

        if ((mux->state == MUX_OPEN) == standing && has_room(mux) && (!lease || suits(mux, lease)))
            return mux;
    }
    return NULL;
}

bool mux_find_room(const struct endpoint *endpoint)
{
    return !list_is_empty(&endpoint->muxes) &&
           (find(endpoint, NULL, true) || find(endpoint, NULL, false));
}

enum err mux_lease(struct endpoint *endpoint, struct lease *lease)
{
    struct mux *mux;

    while ((mux = find(endpoint, lease, true)) != NULL) {
        if (!pool_is_expired(endpoint, mux->pooled)) {
            join(mux, lease);
            return OK;
        }
        mux_drain(mux);
    }
    if (!lease->fresh && endpoint_lease_idle(endpoint, lease))
        return OK;
    mux = find(endpoint, lease, false);
    if (!mux)
        return dial(endpoint, lease);
    join(mux, lease);
    return OK;
}
