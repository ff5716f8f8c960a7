#include "upstream/endpoint.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/rng.h"
#include "net/preface.h"
#include "upstream/balance.h"
#include "upstream/pool.h"
#include "upstream/requests.h"
#include "upstream/upstream.h"

static const struct conn_ops idle_ops;

#define FAILURE_TEXT(symbol, text) [ENDPOINT_##symbol] = (text),
const char *endpoint_failure_text(enum endpoint_failure failure)
{
    static const char *const texts[] = {ENDPOINT_FAILURES(FAILURE_TEXT)};

    return texts[failure];
}
#undef FAILURE_TEXT

static struct pooled *pooled_of(struct conn *conn)
{
    return (struct pooled *)(void *)conn;
}

struct lease *lease_of(struct conn *conn)
{
    return pooled_of(conn)->lease;
}

/* -- life ------------------------------------------------------------- */

/* -- tunnels ----------------------------------------------------------- */

/* A tunnel may end, and free the endpoint with it, while the others' turn is still to come. */
static void on_grace(struct alarm *alarm)
{
    struct endpoint *endpoint = list_entry(alarm, struct endpoint, grace);
    struct list ending;

    list_init(&ending);
    while (!list_is_empty(&endpoint->tunnels)) {
        struct list *link = endpoint->tunnels.next;

        list_remove(link);
        list_append(&ending, link);
    }
    while (!list_is_empty(&ending)) {
        struct lease *lease = list_entry(ending.next, struct lease, link);

        list_remove(&lease->link);
        lease->end_tunnel(lease);
    }
}

/* No new requests, by the word of its source; a failing one may be well again. */
static bool is_leaving(const struct endpoint *endpoint)
{
    return endpoint->retired ||
           (endpoint->resting && endpoint->member.facts->state != FOUND_FAILING);
}

/* Tunnels have their time from when the endpoint begins to leave. */
static void set_grace(struct endpoint *endpoint)
{
    uint64_t ms = endpoint->upstream->drain_tunnel_ms;

    if (!is_leaving(endpoint)) {
        endpoint->leaving_us = 0;
        alarm_disarm(&endpoint->grace);
        return;
    }
    if (endpoint->leaving_us == 0)
        endpoint->leaving_us = loop_now_us(endpoint->upstream->loop);
    if (ms > 0 && !list_is_empty(&endpoint->tunnels)) {
        uint64_t age_ms = (loop_now_us(endpoint->upstream->loop) - endpoint->leaving_us) / 1000;

        alarm_arm(endpoint->upstream->loop, &endpoint->grace, age_ms < ms ? ms - age_ms : 1);
    }
}

void endpoint_add_tunnel(struct endpoint *endpoint, struct list *link)
{
    list_append(&endpoint->tunnels, link);
    set_grace(endpoint);
}

/* -- life, of endpoints -------------------------------------------------- */

struct endpoint *endpoint_new(struct upstream *upstream, const struct member *member)
{
    struct endpoint *endpoint = alloc_new(sizeof(*endpoint));

    endpoint->upstream = upstream;
    endpoint->member.name = member->name;
    list_init(&endpoint->link);
    list_init(&endpoint->idle);
    list_init(&endpoint->tunnels);
    alarm_init(&endpoint->grace, on_grace);
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
    members_unref(&endpoint->members);
}

static void end_retired(struct endpoint *endpoint)
{
    if (!endpoint->retired || endpoint->active > 0 || endpoint->n_idle > 0)
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

static bool take_share(struct endpoint *endpoint)
{
    uint64_t max = endpoint->upstream->limits.max;
    uint32_t *used = &endpoint->member.share->used;

    if (__atomic_fetch_add(used, 1, __ATOMIC_RELAXED) < max)
        return true;
    __atomic_fetch_sub(used, 1, __ATOMIC_RELAXED);
    return false;
}

bool endpoint_has_room(const struct endpoint *endpoint)
{
    uint64_t max = endpoint->upstream->limits.max;

    if (max != 0 && endpoint->n_idle == 0 &&
        __atomic_load_n(&endpoint->member.share->used, __ATOMIC_RELAXED) >= max)
        return false;
    return endpoint->upstream->requests.per_endpoint == 0 || requests_has_room(endpoint);
}

/* Does another worker, and nobody of ours, wait for a connection that we would keep idle? */
static bool others_wait(const struct endpoint *endpoint)
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

/* Close and forget; the memory follows in on_closed. */
static void end_conn(struct pooled *pooled)
{
    if (pooled->capped)
        __atomic_fetch_sub(&pooled->endpoint->member.share->used, 1, __ATOMIC_RELAXED);
    pooled->endpoint = NULL;
    pooled->lease = NULL;
    conn_set_ops(&pooled->conn, &idle_ops);
    conn_close(&pooled->conn);
}

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
    end_conn(pooled);
    upstream_wake(endpoint->upstream);
}

static bool drop_oldest(struct endpoint *endpoint)
{
    if (list_is_empty(&endpoint->idle))
        return false;
    drop_idle(list_entry(endpoint->idle.prev, struct pooled, link));
    return true;
}

void endpoint_give_way(struct endpoint *endpoint)
{
    if (others_wait(endpoint))
        drop_oldest(endpoint);
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

static void on_idle_drained(struct conn *conn)
{
    (void)conn; /* a dialled connection that nobody waits for any more was closed before */
}

static void on_closed(struct conn *conn)
{
    struct pooled *pooled = pooled_of(conn);

    preface_free(&pooled->preface);
    slab_give(pooled->slab, pooled);
}

static const struct conn_ops idle_ops = {
    .on_readable = on_idle_readable,
    .on_hangup = on_idle_error,
    .on_drained = on_idle_drained,
    .on_progress = on_idle_drained,
    .on_failed = on_idle_error,
    .on_alarm = on_idle_alarm,
    .on_closed = on_closed,
};

static void drop_all_idle(struct endpoint *endpoint)
{
    while (!list_is_empty(&endpoint->idle)) {
        struct pooled *pooled = list_entry(endpoint->idle.next, struct pooled, link);

        leave_idle(pooled);
        end_conn(pooled);
    }
}

void endpoint_renew(struct endpoint *endpoint)
{
    endpoint->era++;
    tls_forget(&endpoint->memory);
    drop_all_idle(endpoint);
}

void endpoint_set_rotation(struct endpoint *endpoint, bool in)
{
    bool was_resting = endpoint->resting;

    endpoint->resting = !in;
    set_grace(endpoint); /* it may also have begun to drain after it failed */
    if (was_resting == !in)
        return;
    if (in) {
        endpoint_begin_slowly(endpoint);
        return;
    }
    endpoint_say_waiting(endpoint, false);
    drop_all_idle(endpoint);
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
    set_grace(old);
    drop_all_idle(old);
    end_retired(old);
}

static void hold(struct endpoint *endpoint, struct pooled *pooled, struct lease *lease)
{
    pooled->lease = lease;
    pooled->requests++;
    lease->endpoint = endpoint;
    lease->conn = &pooled->conn;
    conn_set_ops(&pooled->conn, lease->ops);
    endpoint->active++;
    endpoint->upstream->n_active++;
    counter_add(&endpoint->counters->active, 1);
    counter_add(&endpoint->counters->requests, 1);
}

/*
 * What a socket's errno stands for, in the words of leases: there ERR_LIMIT and ERR_MISSING mean
 * others.
 */
static enum err dial_error(enum err err)
{
    /* Out of descriptors or buffers: that is our trouble, not the endpoint's. */
    if (err == ERR_LIMIT || err == ERR_MEMORY)
        return ERR_MEMORY;
    return err == ERR_MISSING || err == ERR_AGAIN ? ERR_UNREACHABLE : err;
}

/* TLS under a dialled connection, and what is said before it; then it stands later. */
static enum err secure(struct endpoint *endpoint, struct pooled *pooled, struct sluice_span preface,
                       bool *connected)
{
    const struct upstream *upstream = endpoint->upstream;
    enum err err = OK;

    if (upstream->tls) {
        err = tls_connect(&pooled->conn, upstream->tls, endpoint->member.name, &endpoint->memory);
        *connected = false;
    }
    if (err || preface.len == 0)
        return err;
    pooled->preface = preface_new(preface);
    if (!pooled->preface)
        return ERR_MEMORY;
    preface_say(&pooled->conn, pooled->preface);
    *connected = false;
    return OK;
}

/* What a connection must begin with to serve this lease. */
static struct sluice_span preface_for(const struct endpoint *endpoint, const struct lease *lease)
{
    enum proxying_version version = (enum proxying_version)endpoint->upstream->proxying;

    if (version == PROXYING_NONE)
        return SPAN("");
    return lease->preface.len > 0 ? lease->preface : proxying_local(version);
}

static enum err dial(struct endpoint *endpoint, struct lease *lease, struct sluice_span preface)
{
    struct upstream *upstream = endpoint->upstream;
    bool capped = upstream->limits.max != 0;
    struct pooled *pooled;
    bool connected;
    enum err err = ERR_MEMORY;

    if (capped && !take_share(endpoint)) {
        /* Of our own, an idle one that may not be used gives way. */
        if (!drop_oldest(endpoint) || !take_share(endpoint))
            return ERR_LIMIT;
    }
    pooled = slab_take(upstreams_slab(upstream));
    if (pooled) {
        list_init(&pooled->link);
        pooled->endpoint = endpoint;
        pooled->slab = upstreams_slab(upstream);
        pooled->requests = 0;
        pooled->born_us = loop_now_us(upstream->loop);
        pooled->jitter = (uint8_t)rng_next(upstream->rng);
        pooled->era = endpoint->era;
        pooled->capped = capped;
        pooled->preface = NULL;
        err = dial_error(conn_dial(&pooled->conn, upstream->loop, &endpoint->member.addr,
                                   lease->ops, &connected));
    }
    if (err) {
        slab_give(upstreams_slab(upstream), pooled);
        if (capped)
            __atomic_fetch_sub(&endpoint->member.share->used, 1, __ATOMIC_RELAXED);
        return err;
    }
    counter_add(&endpoint->counters->connects, 1);
    err = secure(endpoint, pooled, preface, &connected);
    if (err) {
        end_conn(pooled);
        return err;
    }
    lease->reused = false;
    lease->connecting = !connected;
    hold(endpoint, pooled, lease);
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

enum err endpoint_lease(struct endpoint *endpoint, struct lease *lease, bool fresh)
{
    struct sluice_span preface = preface_for(endpoint, lease);
    struct pooled *pooled = fresh ? NULL : find_idle(endpoint, preface);

    for (; pooled; pooled = find_idle(endpoint, preface)) {
        leave_idle(pooled);
        if (conn_is_spoilt(&pooled->conn)) {
            end_conn(pooled);
            continue;
        }
        lease->reused = true;
        lease->connecting = false;
        hold(endpoint, pooled, lease);
        return OK;
    }
    return dial(endpoint, lease, preface);
}

static inline struct pooled *end_hold(struct endpoint *endpoint, struct lease *lease)
{
    struct pooled *pooled = pooled_of(lease->conn);

    if (lease->slots != 0)
        requests_give(lease, endpoint);
    if (!list_is_empty(&lease->link))
        list_remove(&lease->link);
    lease->conn = NULL;
    lease->endpoint = NULL;
    pooled->lease = NULL;
    endpoint->active--;
    if (!endpoint->retired)
        endpoint->upstream->n_active--;
    counter_sub(&endpoint->counters->active, 1);
    return pooled;
}

/* Which connections made together are not to reach at the same time: up to a tenth less. */
static uint64_t with_jitter(uint64_t limit, const struct pooled *pooled)
{
    return limit - limit / 10 * pooled->jitter / 256;
}

/* How old it may still become; 0: it is too old. */
static uint64_t age_left_ms(const struct pooled *pooled, uint64_t now_us, uint64_t max_age_ms)
{
    uint64_t age_ms = (now_us - pooled->born_us) / 1000;
    uint64_t max_ms = with_jitter(max_age_ms, pooled);

    return age_ms < max_ms ? max_ms - age_ms : 0;
}

/* Has it served as long, or as often, as it may? */
static bool is_expired(const struct endpoint *endpoint, const struct pooled *pooled)
{
    const struct upstream_connections *limits = &endpoint->upstream->limits;
    uint64_t now_us;

    if (limits->requests != 0 && pooled->requests >= with_jitter(limits->requests, pooled)) {
        counter_add(&endpoint->counters->used_up, 1);
        return true;
    }
    if (limits->max_age_ms == 0)
        return false;
    now_us = loop_now_us(endpoint->upstream->loop);
    if (age_left_ms(pooled, now_us, limits->max_age_ms) > 0)
        return false;
    counter_add(&endpoint->counters->aged, 1);
    return true;
}

static void set_idle_alarm(struct pooled *pooled, const struct upstream_connections *limits)
{
    uint64_t ms = limits->idle_timeout_ms;
    uint64_t left_ms;

    pooled->ages = false;
    if (limits->max_age_ms > 0) {
        left_ms =
            age_left_ms(pooled, loop_now_us(pooled->endpoint->upstream->loop), limits->max_age_ms);
        pooled->ages = left_ms < ms;
        ms = pooled->ages ? left_ms : ms;
    }
    conn_set_alarm(&pooled->conn, ms);
}

void endpoint_return(struct endpoint *endpoint, struct lease *lease)
{
    const struct upstream_connections *limits = &endpoint->upstream->limits;
    struct pooled *pooled = pooled_of(lease->conn);

    if (endpoint->retired || endpoint->resting || is_expired(endpoint, pooled) ||
        pooled->era != endpoint->era || limits->idle == 0 || conn_is_spoilt(&pooled->conn) ||
        others_wait(endpoint)) {
        endpoint_discard(endpoint, lease);
        return;
    }
    end_hold(endpoint, lease);
    conn_set_ops(&pooled->conn, &idle_ops);
    set_idle_alarm(pooled, limits);
    list_push(&endpoint->idle, &pooled->link);
    endpoint->n_idle++;
    counter_add(&endpoint->counters->idle, 1);
    if (endpoint->n_idle > limits->idle)
        drop_oldest(endpoint);
    upstream_wake(endpoint->upstream);
}

void endpoint_discard(struct endpoint *endpoint, struct lease *lease)
{
    end_conn(end_hold(endpoint, lease));
    upstream_wake(endpoint->upstream);
    end_retired(endpoint);
}
