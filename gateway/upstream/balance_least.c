/*
 * balance_least.c - least requests: the less busy of two endpoints chosen at random.
 *
 * Busy means requests in flight (this worker's) by weight. Two random choices avoid the herd
 * that "the very least busy" makes when several workers look at the same numbers.
 */
#include "upstream/balance.h"
#include "upstream/upstream.h"

/* a.active / a.weight < b.active / b.weight, after one more request each. */
static bool is_less_busy(const struct endpoint *a, const struct endpoint *b)
{
    return (uint64_t)(a->active + 1) * endpoint_weight(b) <
           (uint64_t)(b->active + 1) * endpoint_weight(a);
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    struct endpoint *first, *second;
    size_t index;

    first = balance_draw(upstream, lease, upstream->candidates.n, &index);
    if (!first || upstream->candidates.n == 1)
        return first;
    second = balance_draw(upstream, lease, index, &index);
    return second && is_less_busy(second, first) ? second : first;
}

const struct balance balance_least = {.name = "least_requests", .pick = pick};
