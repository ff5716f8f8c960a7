/*
 * candidates.h - the endpoints of an upstream that may be picked now, as one worker sees them.
 *
 * The rules of balancing pick among these and know nothing of health. The list is made anew when
 * the members change, or when the control thread has raised the version of what is known of them
 * (upstream/share.h): seldom. When nobody is well, everybody is a candidate: an upstream that is
 * wholly out may be well enough, and answering nobody helps nobody. That is called panic, and
 * each pick under it is counted.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_CANDIDATES_H
#define UPSTREAM_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct upstream;

struct candidates {
    struct endpoint **endpoint; /* owned; in the order of the members; borrowed each */
    uint64_t *reach;            /* owned; reach[i]: the weights of endpoint 0 to i together */
    size_t n;
    uint64_t weights; /* of all of them together */
    size_t cursor;    /* balance_round */
    uint32_t version; /* of the share group, as last seen */
    bool same_weights;
    bool panic; /* none is well */
};

/* Has something changed since they were made? Constant time. */
bool candidates_are_old(const struct upstream *upstream);

/* Make them anew. An endpoint that is well again begins slowly, if the upstream wants that. */
void candidates_renew(struct upstream *upstream);

/* Release what is owned. */
void candidates_fini(struct upstream *upstream);

#endif /* UPSTREAM_CANDIDATES_H */
