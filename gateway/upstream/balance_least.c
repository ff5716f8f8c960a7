/*
 * balance_least.c - least requests: the less busy of two endpoints chosen at random.
 *
 * Busy means requests in flight (this worker's) by weight. Two random choices avoid the herd
 * that "the very least busy" makes when several workers look at the same numbers.
 */
#include "base/rng.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

enum { TRIES = 4 /* random draws before looking at each endpoint in turn */ };

static bool is_fit(const struct lease *lease, const struct endpoint *endpoint)
{
    return lease_may_try(lease, endpoint) && endpoint_has_room(endpoint);
}

/* a.active / a.weight < b.active / b.weight, after one more request each. */
static bool is_less_busy(const struct endpoint *a, const struct endpoint *b)
{
    return (uint64_t)(a->active + 1) * b->member.weight <
           (uint64_t)(b->active + 1) * a->member.weight;
}

static struct endpoint *any_from(struct upstream *upstream, const struct lease *lease, size_t start)
{
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        struct endpoint *endpoint = upstream->endpoint[(start + i) % upstream->n_endpoints];

        if (is_fit(lease, endpoint))
            return endpoint;
    }
    return NULL;
}

static struct endpoint *draw(struct upstream *upstream, const struct lease *lease,
                             const struct endpoint *other)
{
    size_t at = 0;

    for (int i = 0; i < TRIES; i++) {
        struct endpoint *endpoint;

        at = rng_below(upstream->rng, upstream->n_endpoints);
        endpoint = upstream->endpoint[at];
        if (endpoint != other && is_fit(lease, endpoint))
            return endpoint;
    }
    return other ? NULL : any_from(upstream, lease, at);
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    struct endpoint *first, *second;

    if (upstream->n_endpoints == 0)
        return NULL;
    first = draw(upstream, lease, NULL);
    if (!first || upstream->n_endpoints == 1)
        return first;
    second = draw(upstream, lease, first);
    return second && is_less_busy(second, first) ? second : first;
}

const struct balance balance_least = {.name = "least_requests", .pick = pick};
