/*
 * endpoint.h - one address of an upstream, as one worker sees it, with its pool of kept
 * connections.
 *
 * A connection is in exactly one place: idle in the pool, leased, or shared (mux.h). What is learnt
 * about an endpoint stays with its address: a new member set keeps the endpoints it still names.
 * One that is named no more is retired: no new requests, idle connections closed, gone with its
 * last lease.
 *
 * Threads: the worker's.
 * Invariant: n_idle <= connections.idle.
 */
#ifndef UPSTREAM_ENDPOINT_H
#define UPSTREAM_ENDPOINT_H

#include "base/count.h"
#include "core/alarm.h"
#include "net/conn.h"
#include "net/tls.h"
#include "upstream/members.h"

struct lease;
struct upstream;

/* Why a try on an endpoint failed. X(symbol, metric label) */
#define ENDPOINT_FAILURES(X)                                                                       \
    X(CONNECT, "connect_failed")                                                                   \
    X(CONNECT_TIMEOUT, "connect_timeout")                                                          \
    X(RESET, "upstream_reset")                                                                     \
    X(CLOSED, "upstream_closed")                                                                   \
    X(PROTOCOL, "upstream_protocol")                                                               \
    X(RESPONSE_TIMEOUT, "response_timeout")                                                        \
    X(IDLE_TIMEOUT, "upstream_idle_timeout")

#define ENDPOINT_FAILURE_MEMBER(symbol, text) ENDPOINT_##symbol,
enum endpoint_failure { ENDPOINT_FAILURES(ENDPOINT_FAILURE_MEMBER) ENDPOINT_FAILURE_COUNT };
#undef ENDPOINT_FAILURE_MEMBER

/* The metric label; a static string. */
const char *endpoint_failure_text(enum endpoint_failure failure);

/* How a stream came to be reset. X(symbol, metric label) */
#define ENDPOINT_RESETS(X)                                                                         \
    X(REFUSED, "refused")     /* the endpoint has not processed it */                              \
    X(CANCELLED, "cancelled") /* by the endpoint, with CANCEL or NO_ERROR */                       \
    X(FAILED, "failed")       /* by the endpoint, for any other cause */                           \
    X(MALFORMED, "malformed") /* by us: what came breaks the rules */                              \
    X(UNWANTED, "unwanted")   /* by us: nobody waits for the rest any more */

#define ENDPOINT_RESET_MEMBER(symbol, text) ENDPOINT_RESET_##symbol,
enum endpoint_reset { ENDPOINT_RESETS(ENDPOINT_RESET_MEMBER) ENDPOINT_RESET_COUNT };
#undef ENDPOINT_RESET_MEMBER

const char *endpoint_reset_text(enum endpoint_reset reset);

#define ENDPOINT_TALLY "endpoint" /* kind of the tally blocks; their key is "UPSTREAM ADDRESS" */

/* One worker's numbers of one address. */
struct endpoint_counters {
    struct counter requests, connects, active, idle;
    struct counter tunnels;       /* of those active */
    struct counter aged, used_up; /* connections closed for max_age, and for requests */
    struct counter h2_connections, streams, goaways, unanswered_pings;
    struct counter resets[ENDPOINT_RESET_COUNT]; /* of streams */
    struct counter failures[ENDPOINT_FAILURE_COUNT];
    struct tls_client_counters tls;
    struct counter good, bad;  /* how tries ended; only where outliers are detected */
    struct counter latency_us; /* what balance_ewma goes by; 0: not measured */
};

enum { ENDPOINT_FULL = 1024 /* endpoint_weight() of one with weight 1 */ };

struct endpoint {
    struct upstream *upstream;          /* borrowed, outlives us */
    struct member member;               /* our copy; texts live in the set it came from */
    struct members *members;            /* shared: that set, once retired; else the upstream's */
    struct list link;                   /* upstream->retired */
    struct endpoint_counters *counters; /* borrowed, this worker's slot */
    struct list idle;                   /* owned, of struct pooled, freshest first */
    struct list muxes;                  /* owned, of struct mux: connections that are shared */
    struct list tunnels;                /* of struct lease: may last long */
    struct list tenancies;              /* of struct pooled: the same, without a lease */
    struct alarm grace;                 /* theirs, once we are out of service */
    uint32_t n_idle;
    uint32_t active;          /* leases */
    int64_t smooth;           /* balance_round's running weight */
    uint64_t born_us;         /* its slow start began; 0: it has none */
    double latency_us;        /* balance_ewma's average, as of latency_at_us */
    uint64_t latency_at_us;   /* 0: no answer yet */
    struct tls_memory memory; /* the session to resume, and who counts */
    uint32_t state;           /* share_state() as last seen */
    uint32_t index;           /* in upstream->endpoint, unless retired */
    uint8_t speaks;           /* enum upstream_protocol by the last ALPN; AUTO: not known yet */
    uint32_t max_streams;     /* that it last said a connection may have; 0: nothing yet */
    uint32_t era;             /* of what a connection must be: TLS or not, who is expected */
    uint64_t leaving_us;      /* since when it gets no new requests for good; 0: it does */
    bool shut;                /* it last said that a connection may have no streams at all */
    bool resting;             /* not in rotation: no new requests, nothing is kept */
    bool retired;
};

struct endpoint *endpoint_new(struct upstream *upstream, const struct member *member);

/* Take over what a newer set says of the same address; one that was retired is so no more. */
void endpoint_update(struct endpoint *endpoint, const struct member *member);

/*
 * Is it in rotation from now on? One that is not closes what is idle and serves its leases to
 * their end.
 */
void endpoint_set_rotation(struct endpoint *endpoint, bool in);

/* From now on connections must be made otherwise: those there are end with their lease. */
void endpoint_renew(struct endpoint *endpoint);

/*
 * No new requests; closes what is idle. Frees the endpoint when nothing is leased, else the last
 * lease does. members: the set that it came from.
 */
void endpoint_retire(struct endpoint **endpoint, struct members *members);

/* Tell the other workers whether somebody of ours waits at the cap. */
void endpoint_say_waiting(struct endpoint *endpoint, bool waiting);

/* Close an idle connection if another worker waits at the cap and nobody here does. */
void endpoint_give_way(struct endpoint *endpoint);

/* From now on its share of the requests grows little by little, if there is a slow start. */
void endpoint_begin_slowly(struct endpoint *endpoint);

/* Its weight times ENDPOINT_FULL, less during its slow start; never 0. */
uint64_t endpoint_weight(const struct endpoint *endpoint);

/* The head of an answer came, or was given up, so long after the request had gone. */
void endpoint_note_latency(struct endpoint *endpoint, uint64_t latency_us);

/* Could a lease be had now, from the pool or by a new connection? */
bool endpoint_has_room(const struct endpoint *endpoint);

/*
 * Lease the freshest idle connection (not when lease->fresh), or a stream of a shared one, or begin
 * to dial. ERR_LIMIT at the cap; other errors: the address cannot be dialled. On OK lease->conn or
 * lease->mux is set; the latter may be one that is being dialled (lease->dialling).
 */
CHECKED enum err endpoint_lease(struct endpoint *endpoint, struct lease *lease);

/*
 * Lease ends: keep the connection for reuse, or close it. lease->conn becomes NULL. May free a
 * retired endpoint.
 */
void endpoint_return(struct endpoint *endpoint, struct lease *lease);
void endpoint_discard(struct endpoint *endpoint, struct lease *lease);

#endif /* UPSTREAM_ENDPOINT_H */
