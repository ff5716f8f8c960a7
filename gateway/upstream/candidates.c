#include "upstream/candidates.h"

#include "base/alloc.h"
#include "upstream/upstream.h"

bool candidates_are_old(const struct upstream *upstream)
{
    return share_group_version(upstream->members->group) != upstream->candidates.version;
}

/* Take over what is known of an endpoint; returns whether it is well. */
static bool look_at(struct endpoint *endpoint)
{
    uint32_t before = endpoint->state;

    endpoint->state = share_state(endpoint->member.share);
    if (before != 0 && endpoint->state == 0)
        endpoint_begin_slowly(endpoint);
    return endpoint->state == 0;
}

static void add(struct candidates *candidates, struct endpoint *endpoint)
{
    uint32_t weight = endpoint->member.weight;
    size_t i = candidates->n++;

    candidates->endpoint[i] = endpoint;
    candidates->weights += weight;
    candidates->reach[i] = candidates->weights;
    candidates->same_weights &= weight == candidates->endpoint[0]->member.weight;
}

void candidates_renew(struct upstream *upstream)
{
    struct candidates *candidates = &upstream->candidates;
    size_t n = upstream->n_endpoints;
    size_t n_well = 0;

    candidates_fini(upstream);
    /* Before the states: what changes meanwhile is seen the next time. */
    candidates->version = share_group_version(upstream->members->group);
    candidates->endpoint = alloc_new((n + 1) * sizeof(struct endpoint *));
    candidates->reach = alloc_new((n + 1) * sizeof(*candidates->reach));
    candidates->n = 0;
    candidates->weights = 0;
    candidates->same_weights = true;
    for (size_t i = 0; i < n; i++) {
        n_well += look_at(upstream->endpoint[i]);
    }
    candidates->panic = n_well == 0 && n > 0;
    for (size_t i = 0; i < n; i++) {
        struct endpoint *endpoint = upstream->endpoint[i];

        endpoint->out = endpoint->state != 0 && !candidates->panic;
        if (!endpoint->out)
            add(candidates, endpoint);
    }
    candidates->cursor = candidates->n ? candidates->cursor % candidates->n : 0;
}

void candidates_fini(struct upstream *upstream)
{
    alloc_free(upstream->candidates.endpoint);
    alloc_free(upstream->candidates.reach);
    upstream->candidates.endpoint = NULL;
    upstream->candidates.reach = NULL;
}
