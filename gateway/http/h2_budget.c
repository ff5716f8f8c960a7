/*
 * h2_budget.c - how much of what costs us more than the peer it may do in an interval.
 */
#include "http/h2_state.h"

void h2_tell_cause(struct h2 *h2, enum h2_cause cause)
{
    if (h2->causes & (1U << cause))
        return;
    h2->causes |= 1U << cause;
    h2->ops->on_cause(h2, cause);
}

void h2_budget_turn(struct h2 *h2, uint64_t now_us)
{
    h2->now_us = now_us;
    if (now_us - h2->budget.began_us >= h2->settings->limits.interval_ms * UINT64_C(1000))
        h2->budget = (struct h2_budget){.began_us = now_us};
}

enum err h2_budget_spend(struct h2 *h2, uint32_t *spent, uint32_t limit, enum h2_cause cause)
{
    if (++*spent <= limit || limit == 0)
        return OK;
    h2_end(h2, cause);
    return ERR_LIMIT;
}
