/*
 * consul_pace.h - how often one watch may ask: a token bucket, and a backoff after errors.
 *
 * In the normal case nothing waits. Under churn a watch asks once a CONSUL_PACE_MS, and when that
 * goes on for long, ever more rarely down to once a CONSUL_PACE_SLOW_MS.
 */
#ifndef DISCOVERY_CONSUL_PACE_H
#define DISCOVERY_CONSUL_PACE_H

#include "base/rng.h"

enum {
    CONSUL_PACE_BURST = 2,
    CONSUL_PACE_MS = 2000,       /* a token */
    CONSUL_PACE_SLOW_MS = 15000, /* a token, under churn without end */
    CONSUL_PACE_PATIENCE = 15,   /* waits in a row before tokens come half as often */
    CONSUL_BACKOFF_MS = 250,
    CONSUL_BACKOFF_MAX_MS = 30000,
};

/* Zero-initialise. */
struct consul_pace {
    uint64_t full_at_us; /* when the bucket is full again, in the clock of now_us */
    unsigned waits;      /* in a row */
};

/* Take a token: how long to wait before asking, in milliseconds; 0: not at all. */
uint64_t consul_pace_take(struct consul_pace *pace, uint64_t now_us);

/*
 * How long to wait after the n-th error in a row (from 1): full jitter, so any time up to a
 * bound.
 */
uint64_t consul_pace_backoff(unsigned errors, struct rng *rng);

#endif /* DISCOVERY_CONSUL_PACE_H */
