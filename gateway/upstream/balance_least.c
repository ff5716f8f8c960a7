/*
 * balance_least.c - least requests: the less busy of two endpoints chosen at random by weight.
 *
 * Busy means requests in flight (this worker's) by weight. Two random choices avoid the herd
 * that "the very least busy" makes when several workers look at the same numbers.
 *
 * The second is taken only when it stays no busier with the request than the first is without. So
 * as long as nobody has much to do the first draw decides, which follows the weights: a light
 * endpoint gets its share of few requests as it does of many.
 */
#include "upstream/balance.h"
#include "upstream/upstream.h"

/* Would a, with one more request, be no busier than b is now? */
static bool is_less_busy(const struct endpoint *a, const struct endpoint *b)
{
    return (uint64_t)(a->active + 1) * endpoint_weight(b) <=
           (uint64_t)b->active * endpoint_weight(a);
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    struct endpoint *first, *second;
    size_t index;

    first = balance_draw(band, lease, band->n, &index);
    if (!first || first->active == 0 || band->n == 1)
        return first;
    second = balance_draw(band, lease, index, &index);
    return second && is_less_busy(second, first) ? second : first;
}

const struct balance balance_least = {.name = "least_requests", .pick = pick};
