/*
 * candidates.h - the endpoints of an upstream that may be picked now, as one worker sees them.
 *
 * They lie in bands: those of one priority, and where our own zone is preferred, of one priority
 * in our zone or out of it. Each band has a share of the requests. A pick draws a band by the
 * shares, and the rules of balancing pick within it and know nothing of health, priorities and
 * zones.
 *
 * All is decided when the list is made anew: when the members change, or when the control thread
 * has raised the version of what is known of them (upstream/share.h): seldom. A pick costs the
 * same however much is decided; where there is but one band, which is the plain case, none is
 * drawn.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_CANDIDATES_H
#define UPSTREAM_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidates;
struct endpoint;
struct lease;
struct upstream;

/* When an endpoint's turn comes, for balance_round. */
struct turn {
    uint64_t due; /* in virtual time, which wraps around */
    uint32_t at;  /* which endpoint of the band */
};

/* The endpoints that a rule picks among. */
struct band {
    struct upstream *upstream;           /* borrowed, owns us */
    const struct candidates *candidates; /* borrowed, owns us */
    struct endpoint **endpoint;          /* in the order of the members; a part of all of them */
    uint64_t *reach;                     /* reach[i]: the weights of endpoint 0 to i together */
    size_t n;                            /* not 0 */
    uint64_t weights;                    /* of all of them together */
    uint64_t share;                      /* of LEVELS_WHOLE; 0: only when others have failed */
    uint64_t till;                       /* its share and those of the bands before */
    struct turn *turn;                   /* owned; balance_round's heap, or NULL: not made yet */
    size_t cursor;                       /* balance_round */
    uint16_t index;                      /* which band */
    bool same_weights;
    bool panic;  /* endpoints that are not well are among them */
    bool backup; /* not of the first priority */
    bool far;    /* not in our zone, which is preferred */
};

enum { BAND_NONE = UINT16_MAX /* candidates->band_of[]: not to be picked */ };

struct candidates {
    struct band *band;          /* owned; the first is the best */
    size_t n_bands;             /* 0: nobody may be picked */
    uint16_t *band_of;          /* owned; by the index of the endpoint in the upstream */
    struct endpoint **endpoint; /* owned; of all bands; borrowed each */
    uint64_t *reach;            /* owned; of all bands */
    size_t n;
    size_t n_known; /* endpoints that band_of tells of */
    bool panic;     /* a band is in panic */
    bool counts;    /* picks are counted by their band: it is not the plain case */
};

/* Has something changed since they were made? Constant time. */
bool candidates_are_old(const struct upstream *upstream);

/* Make them anew. An endpoint that is well again begins slowly, if the upstream wants that. */
void candidates_renew(struct upstream *upstream);

/*
 * An endpoint with room that the lease has not tried, or NULL: of a band drawn by the shares,
 * else of another one.
 */
struct endpoint *candidates_pick(struct candidates *candidates, const struct lease *lease);

/* Is the endpoint in this band? Constant time. */
bool band_has(const struct band *band, const struct endpoint *endpoint);

/* Release what is owned. */
void candidates_fini(struct candidates *candidates);

#endif /* UPSTREAM_CANDIDATES_H */
