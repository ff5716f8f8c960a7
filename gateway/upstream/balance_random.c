/*
 * balance_random.c - at random, by weight.
 *
 * A draw is a binary search in the running sums of the weights. When some draws in a row hit what
 * cannot be used, the weights of those that can are added up, and the draw is made among them:
 * what is out must not send its share to its neighbour.
 */
#include "base/rng.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

enum { DRAWS = 8 };

/* The first member whose running sum is above at. */
static size_t find(const struct members *members, uint64_t at)
{
    size_t low = 0;
    size_t high = members->n - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (members->reach[middle] > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* An endpoint in its slow start takes its part of the draws that hit it. */
static bool accepts(const struct upstream *upstream, const struct endpoint *endpoint)
{
    uint64_t full = (uint64_t)endpoint->member.weight * ENDPOINT_FULL;
    uint64_t weight = endpoint_weight(endpoint);

    return weight == full || rng_below(upstream->rng, full) < weight;
}

static struct endpoint *draw_among_fit(const struct upstream *upstream, const struct lease *lease)
{
    struct endpoint *last = NULL;
    uint64_t sum = 0;
    uint64_t at;

    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        if (balance_is_fit(lease, upstream->endpoint[i]))
            sum += endpoint_weight(upstream->endpoint[i]);
    }
    at = rng_below(upstream->rng, sum);
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        uint64_t weight = endpoint_weight(upstream->endpoint[i]);

        if (!balance_is_fit(lease, upstream->endpoint[i]))
            continue;
        last = upstream->endpoint[i];
        if (at < weight)
            break;
        at -= weight;
    }
    return last; /* another worker may have filled the rest meanwhile */
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    const struct members *members = upstream->members;

    if (upstream->n_endpoints == 0)
        return NULL;
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t at = rng_below(upstream->rng, members->reach[members->n - 1]);
        struct endpoint *endpoint = upstream->endpoint[find(members, at)];

        if (balance_is_fit(lease, endpoint) && accepts(upstream, endpoint))
            return endpoint;
    }
    return draw_among_fit(upstream, lease);
}

const struct balance balance_random = {.name = "random", .pick = pick};
