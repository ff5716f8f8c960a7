#include "upstream/balance.h"

#include "base/rng.h"
#include "upstream/upstream.h"

#include <math.h>
#include <stddef.h>

enum {
    DRAWS = 8,       /* before looking at each endpoint */
    WALK_MAX = 1024, /* slots looked at before each endpoint is, once */
};

static const struct balance *const rules[] = {&balance_round, &balance_least, &balance_random,
                                              &balance_ewma,  &balance_ring,  &balance_maglev,
                                              &balance_sticky};

const struct choice balance_choices[] = {
    {"round_robin", 0, "In turn, by weight (smooth weighted round robin)."},
    {"least_requests", 1, "The less busy of two chosen at random, weights respected."},
    {"random", 2, "At random, by weight."},
    {"peak_ewma", 3,
     "Of two chosen at random the one that promises the shorter wait: its recent time to answer, "
     "times its requests in flight, by weight."},
    {"ring_hash", 4, "By a key of the request (see hash), on a ring of points by weight."},
    {"maglev", 5, "By a key of the request (see hash), in a table shared out evenly by weight."},
    {"sticky_cookie", 6, "The endpoint that a cookie names (see sticky), at first in turn."},
    {NULL, 0, NULL},
};

const struct balance *balance_get(int index)
{
    return rules[index];
}

void balance_prepare(int index, struct members *members)
{
    members->weights = 0;
    for (size_t i = 0; i < members->n; i++) {
        members->weights += members->member[i].weight;
    }
    members->slots = (struct slots){.rule = rules[index]};
    if (rules[index]->prepare && members->n > 0)
        rules[index]->prepare(members);
}

/* -- hashing ---------------------------------------------------------------- */

uint64_t balance_hash(struct sluice_span text)
{
    /* A changed seed moves every key of every fleet: it is part of the promise. */
    return span_hash(text, UINT64_C(0x736c756963650001));
}

uint64_t balance_mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

/* -- for the rules ------------------------------------------------------------ */

bool balance_is_fit(const struct lease *lease, const struct endpoint *endpoint)
{
    return lease_may_try(lease, endpoint) && endpoint_has_room(endpoint);
}

/* The endpoint of the band that this part of its weights hits. */
static size_t find_by_weight(const struct band *band, uint64_t at)
{
    size_t low = 0;
    size_t high = band->n - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (band->reach[middle] > at) {
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

/* What is out must not send its share to its neighbour: add up who is left, and draw among them. */
static struct endpoint *draw_among_fit(const struct band *band, const struct lease *lease,
                                       size_t skip, size_t *index)
{
    struct endpoint *last = NULL;
    uint64_t sum = 0;
    uint64_t at;

    for (size_t i = 0; i < band->n; i++) {
        if (i != skip && balance_is_fit(lease, band->endpoint[i]))
            sum += endpoint_weight(band->endpoint[i]);
    }
    at = rng_below(band->upstream->rng, sum);
    for (size_t i = 0; i < band->n; i++) {
        uint64_t weight;

        if (i == skip || !balance_is_fit(lease, band->endpoint[i]))
            continue;
        weight = endpoint_weight(band->endpoint[i]);
        last = band->endpoint[i];
        *index = i;
        if (at < weight)
            break;
        at -= weight;
    }
    return last; /* another worker may have filled the rest meanwhile */
}

struct endpoint *balance_draw(const struct band *band, const struct lease *lease, size_t skip,
                              size_t *index)
{
    struct upstream *upstream = band->upstream;

    for (unsigned i = 0; i < DRAWS; i++) {
        size_t at = band->same_weights
                        ? rng_below(upstream->rng, band->n)
                        : find_by_weight(band, rng_below(upstream->rng, band->weights));
        struct endpoint *endpoint = band->endpoint[at];

        if (at != skip && balance_is_fit(lease, endpoint) && accepts(upstream, endpoint)) {
            *index = at;
            return endpoint;
        }
    }
    return draw_among_fit(band, lease, skip, index);
}

/*
 * Would one more request keep it at its share of the band's requests in flight, times the bound?
 * The share is rounded up, so there is always an endpoint within the bound.
 */
static bool is_within_bound(const struct band *band, const struct endpoint *endpoint)
{
    const struct upstream *upstream = band->upstream;
    uint64_t active = upstream->n_active * band->share / LEVELS_WHOLE + 1;

    return upstream->bound_percent == 0 ||
           (uint64_t)endpoint->active * 100 * band->weights <
               upstream->bound_percent * active * endpoint->member.weight;
}

/*
 * By the highest of what key and id make together: an endpoint that comes or goes moves its own
 * keys and no others. Looks at each endpoint of the band.
 */
static struct endpoint *walk_band(const struct band *band, const struct lease *lease, bool bounded)
{
    struct endpoint *best = NULL;
    double best_score = 0;

    for (size_t i = 0; i < band->n; i++) {
        struct endpoint *endpoint = band->endpoint[i];
        uint64_t mixed = balance_mix(lease->key ^ endpoint->member.id);
        double part = ((double)(mixed >> 11) + 0.5) / (double)(UINT64_C(1) << 53);
        double score = -(double)endpoint->member.weight / log(part);

        if (score > best_score && balance_is_fit(lease, endpoint) &&
            (!bounded || is_within_bound(band, endpoint))) {
            best = endpoint;
            best_score = score;
        }
    }
    return best;
}

struct endpoint *balance_walk(const struct band *band, const struct lease *lease, size_t at)
{
    const struct upstream *upstream = band->upstream;
    const struct slots *slots = &upstream->members->slots;
    size_t n = slots->n < WALK_MAX ? slots->n : WALK_MAX;
    struct endpoint *found;

    for (size_t i = 0; i < n; i++) {
        struct endpoint *endpoint = upstream->endpoint[slots->member[at]];

        if (band_has(band, endpoint) && balance_is_fit(lease, endpoint) &&
            is_within_bound(band, endpoint))
            return endpoint;
        if (++at == slots->n)
            at = 0;
    }
    found = walk_band(band, lease, true);
    return found ? found : walk_band(band, lease, false);
}
