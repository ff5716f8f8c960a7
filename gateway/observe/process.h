/*
 * process.h - what the kernel says about this process, as process_* metrics.
 *
 * Names are those that Prometheus clients use, so that existing dashboards work.
 *
 * Threads: the control thread.
 */
#ifndef OBSERVE_PROCESS_H
#define OBSERVE_PROCESS_H

#include "observe/metrics.h"

struct process {
    double started_at; /* seconds since 1970; read once, so that it never moves */
};

void process_init(struct process *process);

/* A metrics_collect_fn; arg is a struct process. What cannot be read is left out. */
void process_collect(void *arg, struct page *page);

/* Bytes, as the kernel counts them; 0: not told. Takes milliseconds where there are gigabytes. */
struct process_memory {
    uint64_t pss, rss, anonymous;
};
void process_memory(struct process_memory *memory);

#endif /* OBSERVE_PROCESS_H */
