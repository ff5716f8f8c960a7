/*
 * members.h - the endpoints of one upstream as a whole set, immutable and counted.
 *
 * A source makes a set and publishes it; workers take it over as a whole. Nothing else of the
 * upstream knows where it came from.
 *
 * Threads: made by the control thread, read by all. The count is atomic.
 */
#ifndef UPSTREAM_MEMBERS_H
#define UPSTREAM_MEMBERS_H

#include "discovery/found.h"
#include "net/addr.h"
#include "observe/tally.h"
#include "upstream/conf.h"
#include "upstream/share.h"

enum { MEMBER_NONE = UINT32_MAX };

struct member {
    struct addr addr;
    uint64_t id;             /* a hash of text, the same on every gateway */
    struct sluice_span text; /* "127.0.0.1:9000", NUL-terminated beyond its length */
    struct sluice_span name; /* who is expected there: the host that the source names */
    uint32_t weight;         /* not 0 in rotation */
    uint32_t was;            /* its index in the set before, or MEMBER_NONE */
    uint64_t hash;           /* of all that the source says of it */
    /* What the source says: state, priority, zone, tags, meta. Borrowed from members->found. */
    const struct found_endpoint *facts;
    struct share *share; /* shared, by the set */
    const struct tally_block
        *tally; /* struct endpoint_counters; borrowed, as long as the process */
};

/* What a balancing rule has made of a set; see balance.h. */
struct slots {
    const struct balance *rule; /* whose; the rest is for that one only */
    uint64_t *at;               /* where each slot is, or NULL */
    uint32_t *member;           /* index of each slot's member */
    size_t n;
};

struct members {
    unsigned refs; /* atomic */
    struct arena arena;
    struct sluice_span upstream; /* whose */
    struct share_group *group;   /* borrowed, lives as long as the process */
    struct found *found;         /* shared: what it was made of; NULL: nothing is known yet */
    uint64_t serial;             /* a newer set of the same upstream has a higher one */
    uint64_t after;              /* the serial of the set that member->was speaks of; 0: none */
    /*
     * First n that are in rotation, in the source's order; then those that the source calls
     * failing, then those that drain. Each address once.
     */
    struct member *member;
    size_t n, n_failing, n_draining;
    size_t n_repeats; /* endpoints left out because their address was there */
    uint64_t weights; /* of those in rotation together */
    struct slots slots;
    uint32_t *index; /* of all members by id, see members_find() */
    uint32_t index_mask;
};

/* What a set is made of. All borrowed. */
struct members_recipe {
    struct sluice_span upstream;
    int balance;                 /* index for balance_get() */
    const struct subset *subset; /* whom to take of what was found; NULL: all */
    uint64_t serial;
    struct found *found;          /* literal addresses; NULL: nothing is known yet */
    const struct members *before; /* the newest set of the upstream so far, or NULL */
    struct shares *shares;
};

/*
 * Make a set, ready to be published. The caller owns a reference. An endpoint whose address
 * cannot be read, or was there before, is left out. Time and memory grow with the number of
 * endpoints.
 */
struct members *members_new(const struct members_recipe *recipe);

struct members *members_ref(struct members *members);
void members_unref(struct members **members);

/* Everybody: in rotation or not. */
static inline size_t members_count(const struct members *members)
{
    return members->n + members->n_failing + members->n_draining;
}

/* The member of this address; NULL when there is none. */
struct member *members_find(const struct members *members, struct sluice_span text);

#endif /* UPSTREAM_MEMBERS_H */
