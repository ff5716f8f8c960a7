/*
 * collect.h - what plugins did, as metrics.
 *
 * Threads: the control thread.
 */
#ifndef CHAIN_COLLECT_H
#define CHAIN_COLLECT_H

struct chain_home;
struct page;

/* A metrics_collect_fn; arg is the struct chain_home. */
void collect_plugins(void *home_, struct page *page);

#endif /* CHAIN_COLLECT_H */
