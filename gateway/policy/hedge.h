/*
 * hedge.h - when a request that takes long is also sent to another endpoint: the rule as
 * configured. An upstream has one; a route may have its own instead.
 *
 * No I/O, no threads.
 */
#ifndef POLICY_HEDGE_H
#define POLICY_HEDGE_H

#include "config/shape.h"

enum { HEDGE_MAX = 3 /* attempts beside the first */ };

struct hedge_rule {
    bool is_written;
    uint64_t after_ms;
    double percentile; /* of answers that come sooner than the wait, 0 to 1; 0: after_ms counts */
    uint64_t max;      /* attempts beside the first */
};

extern const struct shape hedge_shape;

/* May there be more than one attempt? */
bool hedge_rule_is_on(const struct hedge_rule *rule);

/*
 * Milliseconds to wait; 0: not at all, nothing is known yet. learnt_us: within which that
 * percentile of the answers has come, 0 while there were too few.
 */
uint64_t hedge_wait_ms(const struct hedge_rule *rule, uint64_t learnt_us);

#endif /* POLICY_HEDGE_H */
