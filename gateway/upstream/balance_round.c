/*
 * balance_round.c - round robin, smooth and weighted.
 *
 * Each pick raises every endpoint's running weight by its own weight, takes the highest and
 * lowers it by the sum, so that heavy endpoints come often but never in a row without need. When
 * all weights are equal, that is plain turn-taking and costs nothing by the number of endpoints.
 *
 * With many endpoints of different weights there is a heap of turns instead: each endpoint is due
 * at even distances of virtual time, one part in its weight of a round, and the earliest is
 * picked. That is as smooth for each endpoint, and costs the logarithm of their number. Where in
 * the first round an endpoint begins is random, so that a list made anew again and again does not
 * favour those at its beginning.
 */
#include "base/alloc.h"
#include "base/rng.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

enum {
    FEW = 32,      /* endpoints: looked at all for each pick */
    SKIPS_MAX = 32 /* who is unfit loses its turn; after so many each endpoint is looked at */
};

static struct endpoint *pick_in_turn(struct band *band, const struct lease *lease)
{
    for (size_t i = 0; i < band->n; i++) {
        struct endpoint *endpoint = band->endpoint[band->cursor];

        if (++band->cursor == band->n)
            band->cursor = 0;
        if (balance_is_fit(lease, endpoint))
            return endpoint;
    }
    return NULL;
}

static struct endpoint *pick_by_weight(const struct band *band, const struct lease *lease)
{
    struct endpoint *best = NULL;
    int64_t sum = 0;

    for (size_t i = 0; i < band->n; i++) {
        struct endpoint *endpoint = band->endpoint[i];
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

/* -- the heap ---------------------------------------------------------------- */

/* Virtual time between two turns: a round of weight 1 takes 2^36. */
static uint64_t interval_of(const struct endpoint *endpoint)
{
    return (UINT64_C(1) << 46) / endpoint_weight(endpoint);
}

static bool is_earlier(const struct turn *a, const struct turn *b)
{
    return (int64_t)(a->due - b->due) < 0;
}

/* Let the turn at place sink to where it belongs. */
static void sink(struct band *band, size_t place)
{
    struct turn moved = band->turn[place];

    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= band->n)
            break;
        if (child + 1 < band->n && is_earlier(&band->turn[child + 1], &band->turn[child]))
            child++;
        if (!is_earlier(&band->turn[child], &moved))
            break;
        band->turn[place] = band->turn[child];
        place = child;
    }
    band->turn[place] = moved;
}

static void make_heap(struct band *band)
{
    band->turn = alloc_new(band->n * sizeof(*band->turn));
    for (size_t i = 0; i < band->n; i++) {
        band->turn[i].at = (uint32_t)i;
        band->turn[i].due = rng_below(band->upstream->rng, interval_of(band->endpoint[i]));
    }
    for (size_t i = band->n / 2; i-- > 0;) {
        sink(band, i);
    }
}

/* Its turn is over: the next one comes after its interval. */
static struct endpoint *pass(struct band *band, size_t place)
{
    struct endpoint *endpoint = band->endpoint[band->turn[place].at];

    band->turn[place].due += interval_of(endpoint);
    sink(band, place);
    return endpoint;
}

static struct endpoint *pick_from_heap(struct band *band, const struct lease *lease)
{
    size_t best = band->n;

    if (!band->turn)
        make_heap(band);
    for (unsigned i = 0; i < SKIPS_MAX; i++) {
        struct endpoint *endpoint = pass(band, 0);

        if (balance_is_fit(lease, endpoint))
            return endpoint;
    }
    for (size_t i = 0; i < band->n; i++) {
        if (balance_is_fit(lease, band->endpoint[band->turn[i].at]) &&
            (best == band->n || is_earlier(&band->turn[i], &band->turn[best])))
            best = i;
    }
    return best < band->n ? pass(band, best) : NULL;
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    if (band->same_weights && !upstream_is_warming(band->upstream))
        return pick_in_turn(band, lease);
    return band->n <= FEW ? pick_by_weight(band, lease) : pick_from_heap(band, lease);
}

const struct balance balance_round = {.name = "round_robin", .pick = pick};
