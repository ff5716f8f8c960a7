/*
 * collect.h - the numbers of upstreams and their endpoints, for the metrics page.
 *
 * Threads: the control thread's; counters are read while workers count on.
 */
#ifndef UPSTREAM_COLLECT_H
#define UPSTREAM_COLLECT_H

#include "observe/metrics.h"
#include "observe/tally.h"

/* Which endpoints have samples of their own. */
enum endpoint_metrics {
    ENDPOINT_METRICS_AUTO, /* all, up to ENDPOINT_METRICS_MANY endpoints; with more, as used */
    ENDPOINT_METRICS_ALL,
    ENDPOINT_METRICS_USED, /* only samples that are not zero */
    ENDPOINT_METRICS_NONE,
};

enum { ENDPOINT_METRICS_MANY = 5000 };

/* What collect_upstreams() is given as arg. All borrowed, outlives the registry. */
struct upstream_numbers {
    const struct tally *tally;
    unsigned n_workers;
    int endpoints; /* enum endpoint_metrics */
};

/* A metrics_collect_fn; arg is a struct upstream_numbers. */
void collect_upstreams(void *arg, struct page *page);

/* Members by state and how fresh sources are; a metrics_collect_fn, arg is a struct roster. */
void collect_members(void *arg, struct page *page);

/* Cut a key of ENDPOINT_TALLY into the upstream's name and the address. The block of overflow
 * ("other") is both. */
void collect_endpoint_key(struct sluice_span key, struct sluice_span *upstream,
                          struct sluice_span *address);

/* Add up, over all workers, the struct counter at offset in the slots of a block. */
uint64_t collect_sum(const struct tally_block *block, unsigned n_workers, size_t offset);

/*
 * Say the struct histogram at offset in the slots of a block, over all workers; nothing when it is
 * empty: most listeners and upstreams have nothing to do with it, and it has many lines.
 */
void collect_times(struct page *page, const struct label *label, const struct tally_block *block,
                   unsigned n_workers, size_t offset);

#endif /* UPSTREAM_COLLECT_H */
