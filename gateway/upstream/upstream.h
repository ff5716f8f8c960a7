/*
 * upstream.h - a named service as one worker sees it: its endpoints, who waits for a connection.
 *
 * An attempt embeds a lease. upstream_lease() chooses an endpoint and gives a connection at once
 * (kept, or being dialled), or queues the lease until a connection is free. The runtime outlives
 * snapshots: each view of a configuration that names the upstream holds a reference.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "core/alarm.h"
#include "core/loop.h"
#include "upstream/endpoint.h"
#include "upstream/selection.h"

struct balance;
struct h2_stream;
struct mux;
struct rng;
struct stream_ops;

enum { LEASE_TRIES = RETRY_ATTEMPTS_MAX + 1 /* endpoints one exchange may try */ };

/*
 * The right to one upstream connection, or to a stream of one that is shared (stream.h). ready is
 * called by the loop, never from inside upstream_lease(), at most once, when a lease that had to
 * wait got its turn (OK), or will not (ERR_TIMEOUT, ERR_LIMIT, ERR_MISSING, ERR_MEMORY; or, when
 * dialled is set, why the chosen endpoint could not be reached; other errors of dialling).
 * end_tunnel is called by the loop for a lease that lease_note_tunnel() told of, when its
 * endpoint has been out of service for too long.
 */
struct lease {
    struct list link;   /* the upstream's queue; while held: the endpoint's tunnels, or none */
    struct list line;   /* of a shared connection: who has no stream yet; else in none */
    struct list batch;  /* of the same: who is being told something; else in none */
    struct alarm alarm; /* ends the waiting */
    void (*ready)(struct lease *lease, enum err err);
    void (*end_tunnel)(struct lease *lease); /* set by lease_note_tunnel() */
    const struct conn_ops *ops;       /* set by the caller: what the connection's events do */
    const struct stream_ops *streams; /* set by the caller; the same for a stream */
    struct selection *selection;      /* set by the caller; borrowed; NULL: of all endpoints */
    struct sluice_span preface;       /* set by the caller; borrowed: the client's PROXY header */
    struct upstream *upstream;        /* borrowed while queued or held */
    struct endpoint *endpoint;        /* borrowed while held */
    struct conn *conn;                /* owned while held, unless it is shared */
    struct mux *mux;                  /* borrowed while held: what is shared; else NULL */
    struct h2_stream *stream;         /* owned: opened on it; NULL: not yet, or no more */
    const struct endpoint *tried[LEASE_TRIES];
    uint8_t n_tried;
    uint8_t slots;   /* held of the caps of requests, see requests.h */
    uint64_t key;    /* set by the caller: what the rule of balancing goes by, see balance.h */
    bool has_key;    /* set by the caller */
    bool reused;     /* the connection has served before */
    bool connecting; /* conn_ops.on_drained will tell that it stands */
    bool dialling;   /* waits for the dial of what is to be shared */
    bool dialled;    /* with an error of ready(): the endpoint could not be reached */
    bool is_open;    /* a stream was opened */
    bool alone;      /* set by the caller: no shared connection, please, if there is a choice */
    bool fresh;      /* set by the caller: no kept connection, please */
    bool again;      /* set by the caller: when all were tried, each may be once more */
};

#define UPSTREAM_TALLY "upstream"

/* Why a request was sent again: a cause of the retry rule, or a kept connection that had died. */
enum { UPSTREAM_RETRY_STALE = RETRY_CAUSE_COUNT, UPSTREAM_RETRY_COUNT };

/* Why one that the rule names was not. */
enum upstream_refusal {
    UPSTREAM_REFUSED_BUDGET,
    UPSTREAM_REFUSED_ATTEMPTS,
    UPSTREAM_REFUSED_METHOD,
    UPSTREAM_REFUSED_CONTENT,
    UPSTREAM_REFUSED_AFTER, /* Retry-After, or its like in gRPC, asks for too much patience */
    UPSTREAM_REFUSAL_COUNT
};

/* What became of second attempts beside the first. */
enum upstream_hedge_end {
    UPSTREAM_HEDGE_WON,
    UPSTREAM_HEDGE_LOST,
    UPSTREAM_HEDGE_REFUSED, /* by the budget: there was none */
    UPSTREAM_HEDGE_COUNT
};

/* One worker's numbers of one upstream. */
struct upstream_counters {
    struct counter waiting, rejected_full, rejected_timeout;
    struct counter panic_picks, backup_picks, near_picks, far_picks;
    struct counter retries[UPSTREAM_RETRY_COUNT], retries_refused[UPSTREAM_REFUSAL_COUNT];
    struct counter hedges[UPSTREAM_HEDGE_COUNT];
    struct pace requests;      /* begun: what the retry budget is a share of */
    struct histogram tls_time; /* of handshakes that went well */
};

/* The fields are for upstream/ only. */
struct upstream {
    struct upstreams *all; /* borrowed, owns us */
    struct loop *loop;     /* borrowed */
    struct rng *rng;       /* borrowed, the worker's */
    char *name;            /* owned */
    unsigned refs;
    const struct balance *balance;
    struct upstream_connections limits;
    struct upstream_requests requests;
    bool caps_requests; /* one of them is not 0 */
    struct outlier_conf outlier;
    struct tls_client *tls; /* shared; NULL: plain */
    int proxying;           /* enum proxying_version */
    int protocol;           /* enum upstream_protocol */
    bool shares;            /* connections may be shared */
    struct upstream_http2 http2;
    uint64_t connect_ms;
    struct members *members; /* shared */
    /* Owned; in the order of the members: n_endpoints in rotation, then who is not. */
    struct endpoint **endpoint;
    size_t n_endpoints, n_resting;
    struct list retired; /* of struct endpoint: named no more, still leased */
    size_t n_retired;
    struct selection everything;
    struct list selections;   /* of struct selection, besides everything */
    uint32_t version;         /* of the share group, as the candidates know it */
    uint64_t drain_tunnel_ms; /* 0: none */
    bool abandoned;           /* the newest configuration has no such upstream */
    uint64_t generation;      /* of the newest that has it */
    struct levels_rule levels;
    char *zone;                /* owned; ours, when it is to be preferred; else NULL */
    uint64_t zone_min;         /* endpoints of a level that are well, for zones to count */
    uint64_t bound_percent;    /* of the mean, for hashing rules; 0: none */
    uint64_t n_active;         /* leases of endpoints that are not retired */
    uint64_t slow_start_us;    /* 0: none */
    uint64_t warming_until_us; /* until then some endpoint is in its slow start */
    double latency_us;         /* balance_ewma: a mean over the endpoints */
    struct list waiting;       /* of struct lease */
    size_t n_waiting;
    struct soon serve;
    struct alarm look; /* while waiting under a cap: another worker may have freed a connection */
    struct upstream_counters *counters; /* borrowed, this worker's slot */
    const struct tally_block *tally;    /* borrowed: the counters of all workers */
    struct budget_rule budget;
    struct quantile *times;  /* owned: of answers, for hedging; NULL: nobody has asked for it */
    uint64_t *second;        /* borrowed: where the requests of this second are counted ... */
    uint64_t second_ends_us; /* ... until then */
};

/* All upstreams of a worker. */
struct upstreams;
struct upstreams *upstreams_new(struct loop *loop, struct rng *rng, unsigned worker);
void upstreams_free(struct upstreams **upstreams);

/* Is a connection left, open or about to be closed? */
bool upstreams_has_connections(const struct upstreams *upstreams);

/* For who looks at all of them: the one at a place, NULL at the end. */
const struct upstream *upstreams_at(const struct upstreams *upstreams, size_t at);

/*
 * Who waits at a cap cannot see what other workers keep idle. starved is called when a request
 * begins to wait at a cap and every few milliseconds while one does; it should bring
 * upstreams_give_way() to the other workers' threads.
 */
typedef void upstreams_starved_fn(void *arg, struct sluice_span upstream);
void upstreams_on_starved(struct upstreams *upstreams, upstreams_starved_fn *starved, void *arg);

/*
 * A slot under a cap of requests is free, for which workers with this index modulo 64 wait. freed
 * should bring upstreams_wake() to their threads.
 */
typedef void upstreams_freed_fn(void *arg, struct sluice_span upstream, unsigned worker);
void upstreams_on_freed(struct upstreams *upstreams, upstreams_freed_fn *freed, void *arg);
void upstream_say_freed(const struct upstream *upstream, unsigned worker);

/*
 * Within which time that part (0 to 1) of the answers has come, as noted, in microseconds; 0: too
 * few have. Who asks makes the noting begin.
 */
uint64_t upstream_time_of(struct upstream *upstream, double share);
void upstream_note_time(struct upstream *upstream, uint64_t us);

/* Whoever waits for that upstream looks once more. */
void upstreams_wake(struct upstreams *upstreams, struct sluice_span name);

/*
 * The handshake with an endpoint has failed: nothing that a client is to be told, and a person has
 * to know. cause: empty: that was not it.
 */
typedef void upstreams_unshaken_fn(void *arg, const struct upstream *upstream,
                                   const struct endpoint *endpoint, struct sluice_span cause);
void upstreams_on_unshaken(struct upstreams *upstreams, upstreams_unshaken_fn *unshaken, void *arg);
void upstream_say_unshaken(struct upstream *upstream, const struct endpoint *endpoint,
                           struct sluice_span cause);

/* What its connections take. Any thread, while it lives. */
struct slab_look upstreams_look(const struct upstreams *upstreams);

/* The same of streams of HTTP/2, and of content that waits on them. */
void upstreams_look_h2(const struct upstreams *upstreams, struct slab_look *streams,
                       struct slab_look *queues);

/* Close idle connections of that upstream which others wait for and nobody here does. */
void upstreams_give_way(struct upstreams *upstreams, struct sluice_span name);

/* How an upstream is to be from now on; borrowed for the call. */
struct upstream_wanted {
    uint64_t generation; /* of the configuration that wants it; newer ones have higher numbers */
    const struct upstream_conf *conf;
    struct members *members;
    struct tls_client *tls; /* NULL: plain */
    const struct tally_block *tally;
};

/*
 * The configuration of this generation is in force: upstreams that it did not ask for have been
 * left, though older exchanges and tunnels may still hold them.
 */
void upstreams_leave_others(struct upstreams *upstreams, uint64_t generation);

/* The upstream of conf's name, made when new; counts a reference. Takes over what is wanted. */
struct upstream *upstream_get(struct upstreams *upstreams, const struct upstream_wanted *wanted);
void upstream_unref(struct upstream **upstream);

/*
 * Take over a newer member set; one that is older than what is there changes nothing. An address
 * that was there before keeps its endpoint with all that is known of it.
 */
void upstream_set_members(struct upstream *upstream, struct members *members);

/* The same for the upstream of that name, if there is one. */
void upstreams_set_members(struct upstreams *upstreams, struct members *members);

/*
 * The endpoints that subset chooses, made when new; the caller owns a reference and the upstream
 * must live on. NULL for NULL, or a subset of all: that is what lease->selection wants.
 */
struct selection *upstream_select(struct upstream *upstream, const struct subset *subset);
void selection_unref(struct selection **selection);

/* The endpoint that the rule chooses for a lease now; NULL when there is none for it. */
struct endpoint *upstream_pick(struct upstream *upstream, const struct lease *lease);

/* A request is begun at now_us: the first of its tries. */
static inline void upstream_note_request(struct upstream *upstream, uint64_t now_us)
{
    if (now_us < upstream->second_ends_us) {
        __atomic_store_n(upstream->second, *upstream->second + 1, __ATOMIC_RELAXED);
    } else {
        upstream->second = pace_note(&upstream->counters->requests, now_us);
        upstream->second_ends_us = pace_end_us(now_us);
    }
}

/* Could an endpoint be tried that this lease has not tried; another than the one it holds? */
bool upstream_has_untried(struct upstream *upstream, const struct lease *lease);
bool upstream_has_other(struct upstream *upstream, const struct lease *lease);

/* Requests begun in the last seconds; tally: of the upstream. Any thread. */
uint64_t upstream_begun(const struct tally_block *tally, uint64_t now_us, uint64_t seconds);

/* Spend one retry of the budget; false when nothing is left of it, which is counted. */
bool upstream_take_retry(struct upstream *upstream);

/* Is an endpoint in its slow start? */
bool upstream_is_warming(const struct upstream *upstream);

/* -- leases ----------------------------------------------------------- */

void lease_init(struct lease *lease, const struct conn_ops *ops,
                void (*ready)(struct lease *lease, enum err err));

/*
 * OK: held, see conn and connecting, or mux. ERR_AGAIN: ready() follows. ERR_LIMIT: the queue is
 * full.
 * ERR_MISSING: no endpoint left to try. Other errors: the chosen endpoint (lease->endpoint,
 * marked tried) cannot be dialled.
 */
CHECKED enum err upstream_lease(struct upstream *upstream, struct lease *lease);

/*
 * End a lease that is held or queued: keep the connection, one that is being dialled too, close it,
 * or leave the queue. Safe when neither.
 */
void lease_return(struct lease *lease);
void lease_discard(struct lease *lease);

/* Not again: the endpoint of this lease failed. Call before lease_discard(). */
void lease_mark_tried(struct lease *lease);
bool lease_may_try(const struct lease *lease, const struct endpoint *endpoint);

/*
 * A held lease carries a tunnel from now on: it may last long after its endpoint is named no more,
 * or drains. timeout.drain_tunnel after that, end_tunnel is called, which should end the lease.
 */
void lease_note_tunnel(struct lease *lease, void (*end_tunnel)(struct lease *lease));

/* Does it wait in the upstream's queue, for what others have? */
bool lease_is_queued(const struct lease *lease);

/* The lease that holds this connection. */
struct lease *lease_of(struct conn *conn);

#endif /* UPSTREAM_UPSTREAM_H */
