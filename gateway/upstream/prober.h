/*
 * prober.h - active checks of the endpoints of one upstream: when, and what follows from them.
 *
 * Each endpoint is asked at once when it is first seen, and then at intervals, each by itself, with
 * jitter. What the checks have found out is kept with the address (upstream/share.h). All
 * probers share a floor: so many checks run at the same time, the others wait their turn.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_PROBER_H
#define UPSTREAM_PROBER_H

#include "base/list.h"
#include "base/log.h"
#include "upstream/probe.h"

struct rng;

/* What all probers share. */
struct probe_floor {
    struct probe_means means;
    struct rng *rng;     /* borrowed */
    struct list waiting; /* of struct patient: due, and no place yet */
    size_t n_waiting;
    unsigned n_running, max;
    unsigned n_workers; /* whose counters there are */
    struct log_gate gate;
};

void probe_floor_init(struct probe_floor *floor, struct loop *loop, struct rng *rng,
                      unsigned n_workers);

/* No prober may be left. */
void probe_floor_fini(struct probe_floor *floor);

/* An endpoint that may be picked, as far as checks go, has passed one. */
typedef void prober_passed_fn(void *arg, const struct member *member);

/* The fields are private. */
struct prober {
    struct probe_floor *floor; /* borrowed */
    prober_passed_fn *passed;
    void *arg;                        /* the caller's, for passed */
    const struct upstream_conf *conf; /* borrowed; NULL: off */
    struct members *members;          /* shared; NULL: off */
    struct tls_client *tls;           /* shared; NULL: plain */
    struct list patients;             /* of struct patient */
    uint64_t interval_ms;             /* as the alarms were armed */
};

void prober_init(struct prober *prober, struct probe_floor *floor, prober_passed_fn *passed,
                 void *arg);

/*
 * Check these members by this configuration (borrowed until the next call) from now on. Without
 * checks in it, nobody is out because of a check any more.
 */
void prober_set(struct prober *prober, const struct upstream_conf *conf, struct members *members,
                struct tls_client *tls);
void prober_fini(struct prober *prober);

#endif /* UPSTREAM_PROBER_H */
