/*
 * pool.h - the connections of an upstream's endpoints; private to upstream/.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/slab.h"
#include "net/conn.h"

struct endpoint;
struct lease;
struct preface;
struct upstream;

/* One upstream connection, idle or leased. */
struct pooled {
    struct conn conn;
    struct list link;          /* in endpoint->idle */
    struct endpoint *endpoint; /* borrowed; NULL once closed */
    struct lease *lease;       /* borrowed; NULL while idle */
    struct slab *slab;         /* borrowed: where we came from */
    struct preface *preface;   /* owned: what it began with; NULL: nothing */
    uint64_t born_us;          /* when it was dialled */
    uint32_t requests;         /* served so far */
    uint8_t jitter;            /* how much earlier than others it ends */
    uint32_t era;              /* endpoint->era when it was dialled */
    bool capped;               /* counted in share->used */
    bool ages;                 /* while idle: its alarm is the end of its age */
};

/* Room for the connections of all upstreams of a worker. */
struct slab *upstreams_slab(struct upstream *upstream);
unsigned upstreams_worker(const struct upstream *upstream);

/* A connection was returned or closed: who waits may try. */
void upstream_wake(struct upstream *upstream);

/* The last lease of a retired endpoint has ended. */
void upstream_forget(struct upstream *upstream);

#endif /* UPSTREAM_POOL_H */
