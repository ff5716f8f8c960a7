/*
 * balance.h - which endpoint serves the next request. One file a rule, chosen by name.
 */
#ifndef UPSTREAM_BALANCE_H
#define UPSTREAM_BALANCE_H

#include "config/shape.h"

#include <stdint.h>

struct band;
struct endpoint;
struct lease;
struct members;
struct upstream;

/* What a rule wants lease->key to be. */
enum balance_key {
    BALANCE_NO_KEY,
    BALANCE_KEY_HASH,     /* balance_hash() of what the configuration names */
    BALANCE_KEY_ENDPOINT, /* the id of the member that a cookie names */
};

struct balance {
    const char *name;
    enum balance_key key;

    /*
     * A set has been made and nobody has seen it yet: make what picking from it needs, in
     * members->slots. By the control thread; all workers share it. May be NULL.
     */
    void (*prepare)(struct members *members);

    /*
     * An endpoint of the band with room that the lease has not tried yet, or NULL when there is
     * none. One that the request names may be of another band.
     */
    struct endpoint *(*pick)(struct band *band, const struct lease *lease);

    /* An endpoint took so long to the head of its answer. May be NULL. */
    void (*on_latency)(struct endpoint *endpoint, uint64_t latency_us);
};

extern const struct balance balance_round, balance_least, balance_random, balance_ewma,
    balance_ring, balance_maglev, balance_sticky;

/* The rules for the configuration: choice.value is the index for balance_get(). */
extern const struct choice balance_choices[];
const struct balance *balance_get(int index);

/* Make what every rule, and the one at index, needs of a new set. Call before it is published. */
void balance_prepare(int index, struct members *members);

/* The same on every gateway and in every run, so that a fleet agrees. */
uint64_t balance_hash(struct sluice_span text);

/* A number that has nothing to do with its neighbours'. */
uint64_t balance_mix(uint64_t number);

/* -- for the rules ---------------------------------------------------------- */

/* May this lease have the candidate, and is there room? Constant time. */
bool balance_is_fit(const struct lease *lease, const struct endpoint *endpoint);

/*
 * A random fit endpoint of the band, by weight, other than the one at index skip (band->n: none to
 * skip), and its index. NULL when there is none.
 */
struct endpoint *balance_draw(const struct band *band, const struct lease *lease, size_t skip,
                              size_t *index);

/*
 * The first fit endpoint of the band within the bound from slot number at on, else the key's choice
 * of those within it, else of all. NULL when there is none.
 */
struct endpoint *balance_walk(const struct band *band, const struct lease *lease, size_t at);

#endif /* UPSTREAM_BALANCE_H */
