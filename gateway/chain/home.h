/*
 * home.h - what of the chain outlives configurations. Private to chain/.
 *
 * Each service that keeps something over reloads (words, maps, metrics) has its member here, which
 * home_new() and home_free() make and end.
 *
 * Threads: the control thread's, but for what a member says may be read elsewhere.
 */
#ifndef CHAIN_HOME_H
#define CHAIN_HOME_H

#include "base/list.h"
#include "base/text.h"

struct helpers;
struct page;
struct series;
struct shared;
struct tally;

struct chain_home {
    struct list plugins;     /* of struct plugin: every loaded file */
    struct text dirs;        /* folders to look in, separated by colons */
    struct tally *tally;     /* borrowed, outlives us */
    unsigned n_workers;      /* 0: nothing will be served */
    struct shared *shared;   /* owned: words and maps */
    struct series *series;   /* owned: metrics of plugins */
    struct helpers *helpers; /* owned: who does what is offloaded; NULL after home_quiet() */
    uint64_t ticks_per_us;   /* 0: not measured yet */
};

/* So many helper threads, and so much room in their queue. Says so when it cannot be. */
void home_set_helpers(struct chain_home *home, unsigned threads, size_t queue);

/*
 * Have what plugins offloaded come to its end: after the workers' threads have ended, while their
 * mailboxes are still there.
 */
void home_quiet(struct chain_home *home);

/* Say the numbers of services and what plugins count. A metrics_collect_fn, arg is the home. */
void home_collect(void *home_, struct page *page);

#endif /* CHAIN_HOME_H */
