/*
 * levels_watch.h - the priorities of one upstream as the control thread sees them: it says in the
 * log when one of them falls into panic and when it is out of it, and shows the shares.
 *
 * Workers decide by the same arithmetic on the same states, each when it picks.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_LEVELS_WATCH_H
#define UPSTREAM_LEVELS_WATCH_H

#include "core/loop.h"
#include "observe/metrics.h"
#include "upstream/members.h"

struct levels_watch {
    struct loop *loop; /* borrowed */
    struct soon soon;
    const struct members *members; /* borrowed from the caller of levels_watch_set() */
    struct levels_rule rule;
    struct level level[LEVELS_MAX]; /* as last said */
    size_t n_levels;
};

void levels_watch_init(struct levels_watch *watch, struct loop *loop);

/* These are the members from now on, until the next call; the states may change meanwhile. */
void levels_watch_set(struct levels_watch *watch, const struct levels_rule *rule,
                      const struct members *members);
void levels_watch_fini(struct levels_watch *watch);

/* Samples of the family that is being said: the share of each priority, and who is in panic. */
void levels_watch_say_shares(const struct levels_watch *watch, struct page *page);
void levels_watch_say_panic(const struct levels_watch *watch, struct page *page);

#endif /* UPSTREAM_LEVELS_WATCH_H */
