#include "upstream/balance.h"

#include "base/rng.h"
#include "upstream/upstream.h"

#include <stddef.h>

enum {
    DRAWS = 4,       /* random ones before looking at each endpoint in turn */
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
    return !endpoint->out && lease_may_try(lease, endpoint) && endpoint_has_room(endpoint);
}

struct endpoint *balance_draw(struct upstream *upstream, const struct lease *lease, size_t skip,
                              size_t *index)
{
    const struct candidates *candidates = &upstream->candidates;
    size_t n = candidates->n;
    size_t at = rng_below(upstream->rng, n);

    /* Some draws, then each in turn from a random one on, so that it is found if there is one. */
    for (size_t i = 0; n > 0 && i < DRAWS + n; i++) {
        struct endpoint *endpoint = candidates->endpoint[at];

        if (at != skip && balance_is_fit(lease, endpoint)) {
            *index = at;
            return endpoint;
        }
        at = i < DRAWS ? rng_below(upstream->rng, n) : (at + 1) % n;
    }
    return NULL;
}

/*
 * Would one more request keep it at its share of the requests in flight, times the bound? The
 * share is rounded up, so there is always an endpoint within the bound.
 */
static bool is_within_bound(const struct upstream *upstream, const struct endpoint *endpoint)
{
    uint64_t sum = upstream->candidates.weights;

    return upstream->bound_percent == 0 ||
           (uint64_t)endpoint->active * 100 * sum <
               upstream->bound_percent * (upstream->n_active + 1) * endpoint->member.weight;
}

static struct endpoint *walk_endpoints(const struct upstream *upstream, const struct lease *lease,
                                       size_t first, bool bounded)
{
    size_t n = upstream->n_endpoints;

    for (size_t i = 0; i < n; i++) {
        struct endpoint *endpoint = upstream->endpoint[(first + i) % n];

        if (balance_is_fit(lease, endpoint) && (!bounded || is_within_bound(upstream, endpoint)))
            return endpoint;
    }
    return NULL;
}

struct endpoint *balance_walk(struct upstream *upstream, const struct lease *lease, size_t at)
{
    const struct slots *slots = &upstream->members->slots;
    size_t n = slots->n < WALK_MAX ? slots->n : WALK_MAX;
    size_t first = slots->member[at];
    struct endpoint *found;

    for (size_t i = 0; i < n; i++) {
        struct endpoint *endpoint = upstream->endpoint[slots->member[at]];

        if (balance_is_fit(lease, endpoint) && is_within_bound(upstream, endpoint))
            return endpoint;
        if (++at == slots->n)
            at = 0;
    }
    found = walk_endpoints(upstream, lease, first, true);
    return found ? found : walk_endpoints(upstream, lease, first, false);
}
