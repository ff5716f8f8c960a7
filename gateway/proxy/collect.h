/*
 * collect.h - the numbers of the data path, for the metrics page: workers, listeners, routes, ends.
 *
 * Threads: the control thread's; counters are read while workers count on.
 */
#ifndef PROXY_COLLECT_H
#define PROXY_COLLECT_H

#include "observe/metrics.h"
#include "observe/tally.h"

struct crew;

/* What collect_traffic() is given as arg. All borrowed, outlives the registry. */
struct traffic_numbers {
    const struct crew *crew;
    const struct tally *tally;
};

/* A metrics_collect_fn; arg is a struct traffic_numbers. */
void collect_traffic(void *arg, struct page *page);

/* A metrics_collect_fn; arg is the struct crew. */
void collect_redis(void *crew_, struct page *page);

#endif /* PROXY_COLLECT_H */
