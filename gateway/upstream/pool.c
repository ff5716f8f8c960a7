#include "upstream/pool.h"

#include "base/rng.h"
#include "net/preface.h"
#include "upstream/endpoint.h"
#include "upstream/upstream.h"

static const struct conn_ops closed_ops;

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

static void give_share(struct endpoint *endpoint)
{
    __atomic_fetch_sub(&endpoint->member.share->used, 1, __ATOMIC_RELAXED);
}

/* -- dialling ------------------------------------------------------------- */

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

struct sluice_span pool_preface(const struct endpoint *endpoint, const struct lease *lease)
{
    enum proxying_version version = (enum proxying_version)endpoint->upstream->proxying;

    if (version == PROXYING_NONE)
        return SPAN("");
    return lease->preface.len > 0 ? lease->preface : proxying_local(version);
}

/* TLS under a dialled connection, and what is said before it; then it stands later. */
static enum err secure(struct endpoint *endpoint, struct pooled *pooled, const struct lease *lease,
                       bool *connected)
{
    const struct upstream *upstream = endpoint->upstream;
    struct sluice_span preface = pool_preface(endpoint, lease);
    enum err err = OK;

    if (upstream->tls) {
        endpoint->memory.times = &upstream->counters->tls_time;
        err = tls_connect(&pooled->conn, upstream->tls, endpoint->member.name, &endpoint->memory);
        *connected = false; /* not before hands are shaken */
    }
    if (err == OK && upstream->tls && upstream->protocol == SPEAK_AUTO && lease->alone)
        tls_offer_h1(&pooled->conn);
    if (err || preface.len == 0)
        return err;
    pooled->preface = preface_new(preface);
    if (!pooled->preface)
        return ERR_MEMORY;
    preface_say(&pooled->conn, pooled->preface);
    *connected = false;
    return OK;
}

enum err pool_dial(struct endpoint *endpoint, const struct lease *lease, const struct conn_ops *ops,
                   struct pooled **out, bool *connected)
{
    struct upstream *upstream = endpoint->upstream;
    bool capped = upstream->limits.max != 0;
    struct pooled *pooled;
    enum err err = ERR_MEMORY;

    if (capped && !take_share(endpoint)) {
        /* Of our own, an idle one that may not be used gives way. */
        if (!endpoint_drop_oldest(endpoint) || !take_share(endpoint))
            return ERR_LIMIT;
    }
    pooled = slab_take(upstreams_slab(upstream));
    if (pooled) {
        list_init(&pooled->link);
        pooled->endpoint = endpoint;
        pooled->lease = NULL;
        pooled->mux = NULL;
        pooled->preface = NULL;
        pooled->slab = upstreams_slab(upstream);
        pooled->requests = 0;
        pooled->born = pool_ticks(loop_now_us(upstream->loop));
        pooled->jitter = (uint8_t)rng_next(upstream->rng);
        pooled->era = endpoint->era;
        pooled->capped = capped;
        err = dial_error(
            conn_dial(&pooled->conn, upstream->loop, &endpoint->member.addr, ops, connected));
    }
    if (err) {
        slab_give(upstreams_slab(upstream), pooled);
        if (capped)
            give_share(endpoint);
        return err;
    }
    counter_add(&endpoint->counters->connects, 1);
    err = secure(endpoint, pooled, lease, connected);
    if (err)
        pool_close(pooled);
    *out = pooled;
    return err;
}

/* -- closing ---------------------------------------------------------------- */

void pool_detach(struct pooled *pooled)
{
    if (pooled->capped)
        give_share(pooled->endpoint);
    tls_leave_memory(&pooled->conn);
    pooled->endpoint = NULL;
    pooled->lease = NULL;
}

void pool_close(struct pooled *pooled)
{
    pool_detach(pooled);
    conn_set_ops(&pooled->conn, &closed_ops);
    conn_close(&pooled->conn);
}

void pool_free(struct pooled *pooled)
{
    preface_free(&pooled->preface);
    slab_give(pooled->slab, pooled);
}

static void on_closed(struct conn *conn)
{
    pool_free(pooled_of(conn));
}

static const struct conn_ops closed_ops = {.on_closed = on_closed};

/* -- age -------------------------------------------------------------------- */

/* Which connections made together are not to reach at the same time: up to a tenth less. */
static uint64_t with_jitter(uint64_t limit, const struct pooled *pooled)
{
    return limit - limit / 10 * pooled->jitter / 256;
}

/* How old it may still become; 0: it is too old. */
static uint64_t age_left_ms(const struct pooled *pooled, uint64_t now_us, uint64_t max_age_ms)
{
    uint64_t age_ms = pool_age_ms(pooled, now_us);
    uint64_t max_ms = with_jitter(max_age_ms, pooled);

    return age_ms < max_ms ? max_ms - age_ms : 0;
}

bool pool_is_expired(const struct endpoint *endpoint, const struct pooled *pooled)
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

void pool_set_idle_alarm(struct pooled *pooled)
{
    const struct upstream_connections *limits = &pooled->endpoint->upstream->limits;
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
