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

/*
 * A random fit endpoint other than that at index skip (n_endpoints: none to skip), and its index.
 * Some random draws, then each in turn from a random one on, so that it is found if there is one.
 */
static struct endpoint *draw(struct upstream *upstream, const struct lease *lease, size_t skip,
                             size_t *index)
{
    size_t n = upstream->n_endpoints;
    size_t at = rng_below(upstream->rng, n);

    for (size_t i = 0; i < TRIES + n; i++) {
        struct endpoint *endpoint = upstream->endpoint[at];

        if (at != skip && is_fit(lease, endpoint)) {
            *index = at;
            return endpoint;
        }
        at = i < TRIES ? rng_below(upstream->rng, n) : (at + 1) % n;
    }
    return NULL;
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    struct endpoint *first, *second;
    size_t index;

    if (upstream->n_endpoints == 0)
        return NULL;
    first = draw(upstream, lease, upstream->n_endpoints, &index);
    if (!first || upstream->n_endpoints == 1)
        return first;
    second = draw(upstream, lease, index, &index);
    return second && is_less_busy(second, first) ? second : first;
}

const struct balance balance_least = {.name = "least_requests", .pick = pick};
