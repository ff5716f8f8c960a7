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
static size_t find(const struct candidates *candidates, uint64_t at)
{
    size_t low = 0;
    size_t high = candidates->n - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (candidates->reach[middle] > at) {
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
    const struct candidates *candidates = &upstream->candidates;
    struct endpoint *last = NULL;
    uint64_t sum = 0;
    uint64_t at;

    for (size_t i = 0; i < candidates->n; i++) {
        if (balance_is_fit(lease, candidates->endpoint[i]))
            sum += endpoint_weight(candidates->endpoint[i]);
    }
    at = rng_below(upstream->rng, sum);
    for (size_t i = 0; i < candidates->n; i++) {
        uint64_t weight = endpoint_weight(candidates->endpoint[i]);

        if (!balance_is_fit(lease, candidates->endpoint[i]))
            continue;
        last = candidates->endpoint[i];
        if (at < weight)
            break;
        at -= weight;
    }
    return last; /* another worker may have filled the rest meanwhile */
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    const struct candidates *candidates = &upstream->candidates;

    if (candidates->n == 0)
        return NULL;
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t at = rng_below(upstream->rng, candidates->weights);
        struct endpoint *endpoint = candidates->endpoint[find(candidates, at)];

        if (balance_is_fit(lease, endpoint) && accepts(upstream, endpoint))
            return endpoint;
    }
    return draw_among_fit(upstream, lease);
}

const struct balance balance_random = {.name = "random", .pick = pick};
