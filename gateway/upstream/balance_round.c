/*
 * balance_round.c - round robin, smooth and weighted.
 *
 * Each pick raises every endpoint's running weight by its own weight, takes the highest and
 * lowers it by the sum, so that heavy endpoints come often but never in a row without need. When
 * all weights are equal, that is plain turn-taking and costs nothing by the number of endpoints.
 */
#include "upstream/balance.h"
#include "upstream/upstream.h"

static struct endpoint *pick_in_turn(struct upstream *upstream, const struct lease *lease)
{
    struct candidates *candidates = &upstream->candidates;

    for (size_t i = 0; i < candidates->n; i++) {
        struct endpoint *endpoint = candidates->endpoint[candidates->cursor];

        if (++candidates->cursor == candidates->n)
            candidates->cursor = 0;
        if (balance_is_fit(lease, endpoint))
            return endpoint;
    }
    return NULL;
}

static struct endpoint *pick_by_weight(struct upstream *upstream, const struct lease *lease)
{
    struct endpoint *best = NULL;
    int64_t sum = 0;

    const struct candidates *candidates = &upstream->candidates;

    for (size_t i = 0; i < candidates->n; i++) {
        struct endpoint *endpoint = candidates->endpoint[i];
        int64_t weight;

        if (!balance_is_fit(lease, endpoint))
            continue;
        weight = (int64_t)endpoint_weight(endpoint);
        sum += weight;
        endpoint->smooth += weight;
        if (!best || endpoint->smooth > best->smooth)
            best = endpoint;
    }
    if (best)
        best->smooth -= sum;
    return best;
}

static struct endpoint *pick(struct upstream *upstream, const struct lease *lease)
{
    bool in_turn = upstream->candidates.same_weights && !upstream_is_warming(upstream);

    return in_turn ? pick_in_turn(upstream, lease) : pick_by_weight(upstream, lease);
}

const struct balance balance_round = {.name = "round_robin", .pick = pick};
