/*
 * collect.h - what the whole process says on the metrics page: version, readiness, configuration
 * (private to admin).
 */
#ifndef ADMIN_COLLECT_H
#define ADMIN_COLLECT_H

#include "observe/metrics.h"

/* A metrics_collect_fn; arg is the const struct admin_host. */
void collect_gateway(void *arg, struct page *page);

#endif /* ADMIN_COLLECT_H */
