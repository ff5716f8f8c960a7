#include "upstream/endpoint.h"

#include "base/alloc.h"
#include "base/check.h"
#include "net/preface.h"
#include "upstream/balance.h"
#include "upstream/mux.h"
#include "upstream/pool.h"
#include "upstream/requests.h"
#include "upstream/tenancy.h"
#include "upstream/upstream.h"

static const struct conn_ops idle_ops;

#define FAILURE_TEXT(symbol, text) [ENDPOINT_##symbol] = (text),
const char *endpoint_failure_text(enum endpoint_failure failure)
{
    static const char *const texts[] = {ENDPOINT_FAILURES(FAILURE_TEXT)};

    return texts[failure];
}
#undef FAILURE_TEXT

#define RESET_TEXT(symbol, text) [ENDPOINT_RESET_##symbol] = (text),
const char *endpoint_reset_text(enum endpoint_reset reset)
{
    static const char *const texts[] = {ENDPOINT_RESETS(RESET_TEXT)};

    return texts[reset];
}
#undef RESET_TEXT

struct lease *lease_of(struct conn *conn)
{
    return pooled_of(conn)->lease;
}

/* -- life ------------------------------------------------------------- */

struct endpoint *endpoint_new(struct upstream *upstream, const struct member *member)
{
    struct endpoint *endpoint = alloc_new(sizeof(*endpoint));

    endpoint->upstream = upstream;
    endpoint->member.name = member->name;
    endpoint->speaks = SPEAK_AUTO;
    list_init(&endpoint->link);
    list_init(&endpoint->idle);
    list_init(&endpoint->muxes);
    list_init(&endpoint->tunnels);
    list_init(&endpoint->tenancies);
    alarm_init(&endpoint->grace, tenancy_on_grace);
    endpoint_update(endpoint, member);
    return endpoint;
}

static void come_back(struct endpoint *endpoint)
{
    endpoint->retired = false;
    list_remove(&endpoint->link);
    endpoint->upstream->n_retired--;
    endpoint->upstream->n_active += endpoint->active;
}

void endpoint_update(struct endpoint *endpoint, const struct member *member)
{
    if (!span_equal(endpoint->member.name, member->name))
        endpoint_renew(endpoint);
    if (endpoint->retired)
        come_back(endpoint);
    endpoint->member = *member;
    endpoint->counters = tally_slot(member->tally, upstreams_worker(endpoint->upstream));
    endpoint->memory.counters = &endpoint->counters->tls;
    members_unref(&endpoint->members);
}

static void end_retired(struct endpoint *endpoint)
{
    if (!endpoint->retired || endpoint->active > 0 || endpoint->n_idle > 0 ||
        !list_is_empty(&endpoint->muxes))
        return;
    list_remove(&endpoint->link);
    members_unref(&endpoint->members);
    alarm_disarm(&endpoint->grace);
    tls_forget(&endpoint->memory);
    upstream_forget(endpoint->upstream);
    alloc_free(endpoint);
}

/* -- for balancing -------------------------------------------------------- */

void endpoint_begin_slowly(struct endpoint *endpoint)
{
    struct upstream *upstream = endpoint->upstream;

    if (upstream->slow_start_us == 0)
        return;
    endpoint->born_us = loop_now_us(upstream->loop);
    upstream->warming_until_us = endpoint->born_us + upstream->slow_start_us;
    __atomic_store_n(&endpoint->member.share->slow_until_us, upstream->warming_until_us,
                     __ATOMIC_RELAXED);
}

uint64_t endpoint_weight(const struct endpoint *endpoint)
{
    const struct upstream *upstream = endpoint->upstream;
    uint64_t full = (uint64_t)endpoint->member.weight * ENDPOINT_FULL;
    uint64_t age, part;

    if (endpoint->born_us == 0)
        return full;
    age = loop_now_us(upstream->loop) - endpoint->born_us;
    if (age >= upstream->slow_start_us)
        return full;
    part = ENDPOINT_FULL / 10 + ENDPOINT_FULL * age / upstream->slow_start_us * 9 / 10;
    return endpoint->member.weight * part;
}

void endpoint_note_latency(struct endpoint *endpoint, uint64_t latency_us)
{
    const struct balance *balance = endpoint->upstream->balance;

    if (balance->on_latency)
        balance->on_latency(endpoint, latency_us);
}

/* -- the cap ------------------------------------------------------------ */

bool endpoint_has_room(const struct endpoint *endpoint)
{
    uint64_t max = endpoint->upstream->limits.max;

    if (max != 0 && endpoint->n_idle == 0 &&
        __atomic_load_n(&endpoint->member.share->used, __ATOMIC_RELAXED) >= max &&
        !mux_find_room(endpoint))
        return false;
    if (endpoint->shut && !list_is_empty(&endpoint->muxes) && !mux_find_room(endpoint))
        return false; /* another connection would hear the same */
    return endpoint->upstream->requests.per_endpoint == 0 || requests_has_room(endpoint);
}

bool endpoint_others_wait(const struct endpoint *endpoint)
{
    const struct upstream *upstream = endpoint->upstream;
    uint64_t waiting = __atomic_load_n(&endpoint->member.share->waiting, __ATOMIC_RELAXED);

    return upstream->limits.max != 0 && upstream->n_waiting == 0 && waiting != 0;
}

void endpoint_say_waiting(struct endpoint *endpoint, bool waiting)
{
    uint64_t bit = 1ull << (upstreams_worker(endpoint->upstream) % 64);
    uint64_t *mask = &endpoint->member.share->waiting;

    if (waiting) {
        __atomic_fetch_or(mask, bit, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_and(mask, ~bit, __ATOMIC_RELAXED);
    }
}

/* -- connections ---------------------------------------------------------- */

static void leave_idle(struct pooled *pooled)
{
    struct endpoint *endpoint = pooled->endpoint;

    list_remove(&pooled->link);
    endpoint->n_idle--;
    counter_sub(&endpoint->counters->idle, 1);
}

static void drop_idle(struct pooled *pooled)
{
    struct endpoint *endpoint = pooled->endpoint;

    leave_idle(pooled);
    pool_close(pooled);
    upstream_wake(endpoint->upstream);
}

bool endpoint_drop_oldest(struct endpoint *endpoint)
{
    if (list_is_empty(&endpoint->idle))
        return mux_drop_idle(endpoint);
    drop_idle(list_entry(endpoint->idle.prev, struct pooled, link));
    return true;
}

void endpoint_give_way(struct endpoint *endpoint)
{
    if (endpoint_others_wait(endpoint) && !endpoint_drop_oldest(endpoint))
        mux_give_way(endpoint);
}

static void on_idle_event(struct conn *conn)
{
    struct pooled *pooled = pooled_of(conn);

    /* An answer nobody asked for, the end, or the time is up: not to be used again. */
    if (pooled->endpoint)
        drop_idle(pooled);
}

static void on_idle_alarm(struct conn *conn)
{
    const struct pooled *pooled = pooled_of(conn);

    if (pooled->endpoint && pooled->ages)
        counter_add(&pooled->endpoint->counters->aged, 1);
    on_idle_event(conn);
}

/* With TLS, bytes may be the peer's business with ours: new tickets, new keys. */
static void on_idle_readable(struct conn *conn)
{
    struct sluice_span bytes;
    enum err err = ERR_CLOSED;

    if (tls_is_on(conn))
        err = conn_read(conn, &bytes);
    if (err != ERR_AGAIN || conn_settle(conn, false) != OK)
        on_idle_event(conn);
}

static void on_idle_error(struct conn *conn, enum err err)
{
    (void)err;
    on_idle_event(conn);
}

/* One that was being dialled stands. */
static void on_idle_drained(struct conn *conn)
{
    struct pooled *pooled = pooled_of(conn);
    struct endpoint *endpoint = pooled->endpoint;

    if (!endpoint)
        return;
    list_remove(&pooled->link);
    list_push(&endpoint->idle, &pooled->link);
    pool_set_idle_alarm(pooled);
    upstream_wake(endpoint->upstream);
}

static void on_idle_progress(struct conn *conn)
{
    (void)conn; /* nothing is queued */
}

static const struct conn_ops idle_ops = {
    .on_readable = on_idle_readable,
    .on_hangup = on_idle_error,
    .on_drained = on_idle_drained,
    .on_progress = on_idle_progress,
    .on_failed = on_idle_error,
    .on_alarm = on_idle_alarm,
};

static void drop_all_idle(struct endpoint *endpoint)
{
    while (!list_is_empty(&endpoint->idle)) {
        struct pooled *pooled = list_entry(endpoint->idle.next, struct pooled, link);

        leave_idle(pooled);
        pool_close(pooled);
    }
}

void endpoint_renew(struct endpoint *endpoint)
{
    endpoint->era++;
    endpoint->speaks = SPEAK_AUTO;
    tls_forget(&endpoint->memory);
    drop_all_idle(endpoint);
    mux_drain_all(endpoint);
}

void endpoint_set_rotation(struct endpoint *endpoint, bool in)
{
    bool was_resting = endpoint->resting;

    endpoint->resting = !in;
    tenancy_set_grace(endpoint); /* it may also have begun to drain after it failed */
    if (was_resting == !in)
        return;
    if (in) {
        endpoint_begin_slowly(endpoint);
        return;
    }
    endpoint_say_waiting(endpoint, false);
    drop_all_idle(endpoint);
    mux_drain_all(endpoint);
}

void endpoint_retire(struct endpoint **endpoint, struct members *members)
{
    struct endpoint *old = *endpoint;

    *endpoint = NULL;
    old->retired = true;
    old->members = members_ref(members);
    list_append(&old->upstream->retired, &old->link);
    endpoint_say_waiting(old, false);
    old->upstream->n_retired++;
    old->upstream->n_active -= old->active;
    tenancy_set_grace(old);
    drop_all_idle(old);
    old->active++; /* what ends now must not free it under our feet */
    mux_drain_all(old);
    old->active--;
    end_retired(old);
}

void endpoint_hold(struct endpoint *endpoint, struct lease *lease)
{
    lease->endpoint = endpoint;
    endpoint->active++;
    endpoint->upstream->n_active++;
    counter_add(&endpoint->counters->requests, 1);
}

void endpoint_unhold(struct endpoint *endpoint, struct lease *lease)
{
    if (lease->slots != 0)
        requests_end(lease, endpoint);
    if (!list_is_empty(&lease->link))
        tenancy_forget(endpoint, &lease->link);
    lease->endpoint = NULL;
    endpoint->active--;
    if (!endpoint->retired)
        endpoint->upstream->n_active--;
}

void endpoint_own(struct endpoint *endpoint, struct pooled *pooled, struct lease *lease)
{
    pooled->lease = lease;
    pooled->requests++;
    lease->conn = &pooled->conn;
    conn_set_ops(&pooled->conn, lease->ops);
    counter_add(&endpoint->counters->active, 1);
}

static enum err dial(struct endpoint *endpoint, struct lease *lease)
{
    struct pooled *pooled;
    bool connected;
    enum err err = pool_dial(endpoint, lease, lease->ops, &pooled, &connected);

    if (err)
        return err;
    lease->reused = false;
    lease->connecting = !connected;
    endpoint_hold(endpoint, lease);
    endpoint_own(endpoint, pooled, lease);
    return OK;
}

/* The freshest that began so; as a rule they all did. */
static struct pooled *find_idle(const struct endpoint *endpoint, struct sluice_span preface)
{
    list_each (node, &endpoint->idle) {
        struct pooled *pooled = list_entry(node, struct pooled, link);

        if (preface_is(pooled->preface, preface))
            return pooled;
    }
    return NULL;
}

/* While hands are shaken, bytes of the peer are no surprise. */
static bool is_spoilt(const struct pooled *pooled)
{
    return !conn_is_dialling(&pooled->conn) && conn_is_spoilt(&pooled->conn);
}

bool endpoint_lease_idle(struct endpoint *endpoint, struct lease *lease)
{
    struct sluice_span preface = SPAN("");
    struct pooled *pooled;

    if (endpoint->upstream->proxying != PROXYING_NONE)
        preface = pool_preface(endpoint, lease);
    while ((pooled = find_idle(endpoint, preface)) != NULL) {
        leave_idle(pooled);
        if (is_spoilt(pooled)) {
            pool_close(pooled);
            continue;
        }
        lease->connecting = conn_is_dialling(&pooled->conn);
        lease->reused = !lease->connecting;
        endpoint_hold(endpoint, lease);
        endpoint_own(endpoint, pooled, lease);
        return true;
    }
    return false;
}

enum err endpoint_lease(struct endpoint *endpoint, struct lease *lease)
{
    if (endpoint->upstream->shares && !(lease->alone && endpoint->upstream->protocol == SPEAK_AUTO))
        return lease->streams ? mux_lease(endpoint, lease) : ERR_PROTOCOL;
    if (!lease->fresh && endpoint_lease_idle(endpoint, lease))
        return OK;
    return dial(endpoint, lease);
}

static inline struct pooled *end_hold(struct endpoint *endpoint, struct lease *lease)
{
    struct pooled *pooled = pooled_of(lease->conn);

    endpoint_unhold(endpoint, lease);
    lease->conn = NULL;
    pooled->lease = NULL;
    counter_sub(&endpoint->counters->active, 1);
    return pooled;
}

bool endpoint_keeps(const struct endpoint *endpoint, const struct pooled *pooled)
{
    return !endpoint->retired && !endpoint->resting && pooled->era == endpoint->era;
}

/*
 * Who wanted it is gone before it stands: the next one takes it, so clients that give up do not
 * make us connect again and again. Behind those that stand; its alarm is still the dial's.
 */
static void keep_dialling(struct endpoint *endpoint, struct pooled *pooled)
{
    pooled->requests--; /* it was none */
    list_append(&endpoint->idle, &pooled->link);
}

void endpoint_return(struct endpoint *endpoint, struct lease *lease)
{
    const struct upstream_connections *limits = &endpoint->upstream->limits;
    struct pooled *pooled = pooled_of(lease->conn);
    bool limited = limits->requests != 0 || limits->max_age_ms != 0;

    if (!endpoint_keeps(endpoint, pooled) || (limited && pool_is_expired(endpoint, pooled)) ||
        limits->idle == 0 || is_spoilt(pooled) || endpoint_others_wait(endpoint)) {
        endpoint_discard(endpoint, lease);
        return;
    }
    end_hold(endpoint, lease);
    conn_set_ops(&pooled->conn, &idle_ops);
    pooled->ages = false;
    if (conn_is_dialling(&pooled->conn)) {
        keep_dialling(endpoint, pooled);
    } else {
        if (limited) {
            pool_set_idle_alarm(pooled);
        } else {
            conn_set_alarm(&pooled->conn, limits->idle_timeout_ms);
        }
        list_push(&endpoint->idle, &pooled->link);
    }
    endpoint->n_idle++;
    counter_add(&endpoint->counters->idle, 1);
    if (endpoint->n_idle > limits->idle)
        endpoint_drop_oldest(endpoint);
    upstream_wake(endpoint->upstream);
}

void endpoint_settle(struct endpoint *endpoint)
{
    upstream_wake(endpoint->upstream);
    end_retired(endpoint);
}

void endpoint_discard(struct endpoint *endpoint, struct lease *lease)
{
    pool_close(end_hold(endpoint, lease));
    endpoint_settle(endpoint);
}
