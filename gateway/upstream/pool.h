/*
 * pool.h - the connections of an upstream's endpoints; private to upstream/.
 *
 * A connection is dialled under the cap, lives in one place (idle in its endpoint, leased by one,
 * or shared by a mux), and is closed here.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/slab.h"
#include "net/conn.h"

struct endpoint;
struct h2_bench;
struct lease;
struct mux;
struct preface;
struct tenancy;
struct upstream;

/* One upstream connection. */
struct pooled {
    struct conn conn;
    struct list link;          /* in endpoint->idle, or ->tenancies */
    struct endpoint *endpoint; /* borrowed; NULL once closed */
    union {
        struct lease *lease;     /* borrowed; NULL while idle, and when it is shared */
        struct tenancy *tenancy; /* borrowed; instead, in endpoint->tenancies */
    };
    struct mux *mux;         /* owns us when it is shared, or may come to be; else NULL */
    struct slab *slab;       /* borrowed: where we came from */
    struct preface *preface; /* owned: what it began with; NULL: nothing */
    uint32_t born;           /* when it was dialled: pool_ticks() */
    uint32_t requests;       /* served so far */
    uint32_t era;            /* endpoint->era when it was dialled */
    uint8_t jitter;          /* how much earlier than others it ends */
    uint8_t slots;           /* lease->slots of the lease that has become a tenancy */
    bool capped;             /* counted in share->used */
    bool ages;               /* while idle: its alarm is the end of its age */
};

/* A moment in units of ALARM_TICK_MS; they begin anew after 397 days. */
static inline uint32_t pool_ticks(uint64_t now_us)
{
    return (uint32_t)(now_us / (ALARM_TICK_MS * UINT64_C(1000)));
}

/* Since it was dialled, by the loop's clock. */
static inline uint64_t pool_age_ms(const struct pooled *pooled, uint64_t now_us)
{
    return (uint64_t)(pool_ticks(now_us) - pooled->born) * ALARM_TICK_MS;
}

/* -- of all upstreams of a worker ---------------------------------------- */

struct slab *upstreams_slab(struct upstream *upstream);
struct h2_bench *upstreams_bench(struct upstream *upstream);
unsigned upstreams_worker(const struct upstream *upstream);

/* A connection was returned or closed: who waits may try. */
void upstream_wake(struct upstream *upstream);

/* Held no longer, and still without a connection: wait for one. */
void upstream_queue(struct upstream *upstream, struct lease *lease);

/* The last lease of a retired endpoint has ended. */
void upstream_forget(struct upstream *upstream);

/* -- connections ---------------------------------------------------------- */

static inline struct pooled *pooled_of(struct conn *conn)
{
    return (struct pooled *)(void *)conn;
}

/*
 * Begin to dial for this lease. ERR_LIMIT at the cap, ERR_MEMORY, others: the address cannot be
 * dialled. *connected: it stands already.
 */
CHECKED enum err pool_dial(struct endpoint *endpoint, const struct lease *lease,
                           const struct conn_ops *ops, struct pooled **pooled, bool *connected);

/* What a connection must begin with to serve this lease. */
struct sluice_span pool_preface(const struct endpoint *endpoint, const struct lease *lease);

/* It is of this endpoint no longer: the cap has room again. conn_close() is to follow. */
void pool_detach(struct pooled *pooled);

/* The connection is closed: its memory. */
void pool_free(struct pooled *pooled);

/* Close and forget; the memory follows at the end of the turn. */
void pool_close(struct pooled *pooled);

/* Has it served as long, or as often, as it may? Counted. */
bool pool_is_expired(const struct endpoint *endpoint, const struct pooled *pooled);

/* Ring when it has been idle, or has lived, for long enough. */
void pool_set_idle_alarm(struct pooled *pooled);

/* -- endpoints, for leases ------------------------------------------------- */

/* A lease is of this endpoint from now on, till endpoint_unhold(). */
void endpoint_hold(struct endpoint *endpoint, struct lease *lease);

/* lease->endpoint becomes NULL. endpoint_settle() is to follow. */
void endpoint_unhold(struct endpoint *endpoint, struct lease *lease);

/* A lease of its own on a connection that stands or is being dialled. */
void endpoint_own(struct endpoint *endpoint, struct pooled *pooled, struct lease *lease);

/* Something has ended: who waits may try; frees a retired endpoint that is left by all. */
void endpoint_settle(struct endpoint *endpoint);

/* May connections to it be kept: in rotation, and made as they are to be now? */
bool endpoint_keeps(const struct endpoint *endpoint, const struct pooled *pooled);

/* Does another worker, and nobody of ours, wait for a connection that we would keep idle? */
bool endpoint_others_wait(const struct endpoint *endpoint);

/* Lease the freshest idle connection; false when there is none. */
bool endpoint_lease_idle(struct endpoint *endpoint, struct lease *lease);

/* Close the connection that has been idle longest; false when there is none. */
bool endpoint_drop_oldest(struct endpoint *endpoint);

#endif /* UPSTREAM_POOL_H */
