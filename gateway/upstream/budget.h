/*
 * budget.h - how many requests may be sent again: a share of those that were sent once.
 *
 * Counted by the second over a sliding interval, for one upstream over all workers. Each
 * worker notes the requests it begins in a pace of its own; what was spent is one pace that all
 * share. A retry is first added to what was spent, then compared: of two workers that take the last
 * one at the same time both may be refused, but never both have it.
 *
 * Threads: any; no locks.
 */
#ifndef UPSTREAM_BUDGET_H
#define UPSTREAM_BUDGET_H

#include "config/shape.h"

enum { BUDGET_INTERVAL_MAX_S = 60 };

struct budget_rule {
    double share;
    uint64_t min_per_second;
    uint64_t interval_ms; /* whole seconds */
};

/* The "retry_budget:" map: a SHAPE_STRUCT of struct budget_rule. */
extern const struct shape budget_shape;

/* So many in each of the last seconds: the second above, how many below. */
struct pace {
    uint64_t slot[64]; /* atomic */
};

/*
 * One more, now; by the only thread that writes this pace. Returns the slot, where that thread may
 * itself add more until pace_end_us().
 */
uint64_t *pace_note(struct pace *pace, uint64_t now_us);
uint64_t pace_end_us(uint64_t now_us);

/* How many in the last seconds, the one that now is in included. */
uint64_t pace_sum(const struct pace *pace, uint64_t now_us, uint64_t seconds);

/* How many retries the interval allows that saw so many requests. */
uint64_t budget_allowance(const struct budget_rule *rule, uint64_t requests);

/* Spend one of it, when the interval that ends now had so many requests. False: nothing is left. */
bool budget_take(struct pace *spent, const struct budget_rule *rule, uint64_t requests,
                 uint64_t now_us);

#endif /* UPSTREAM_BUDGET_H */
