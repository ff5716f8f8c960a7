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

#include "net/addr.h"
#include "observe/tally.h"
#include "upstream/conf.h"
#include "upstream/share.h"

struct member {
    struct addr addr;
    uint64_t id;             /* a hash of text, the same on every gateway */
    struct sluice_span text; /* "127.0.0.1:9000", NUL-terminated beyond its length */
    struct sluice_span name; /* who is expected there: the host as configured */
    uint32_t weight;
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
    struct member *member;
    size_t n;
    uint64_t weights; /* of all members together */
    struct slots slots;
};

/*
 * Resolve the configured endpoints; what does not resolve is noted as an error. NULL when there
 * was one. The caller owns a reference.
 */
struct members *members_from_conf(const struct upstream_conf *conf, struct shares *shares,
                                  struct notes *notes);

struct members *members_ref(struct members *members);
void members_unref(struct members **members);

#endif /* UPSTREAM_MEMBERS_H */
