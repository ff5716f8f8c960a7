#include "upstream/requests.h"

#include "upstream/pool.h"
#include "upstream/upstream.h"

/* The cap may have come with a reload: what was begun before it is not counted. */
enum { HOLDS_UPSTREAM = 1, HOLDS_ENDPOINT = 2 };

static bool take(struct share_active *active, uint64_t max)
{
    if (__atomic_fetch_add(&active->n, 1, __ATOMIC_RELAXED) < max)
        return true;
    __atomic_fetch_sub(&active->n, 1, __ATOMIC_RELAXED);
    return false;
}

static void give(struct share_active *active)
{
    __atomic_fetch_sub(&active->n, 1, __ATOMIC_RELAXED);
}

bool requests_has_room(const struct endpoint *endpoint)
{
    uint64_t max = endpoint->upstream->requests.per_endpoint;

    return max == 0 || __atomic_load_n(&endpoint->member.share->active.n, __ATOMIC_RELAXED) < max;
}

bool requests_take(struct lease *lease, const struct endpoint *endpoint)
{
    const struct upstream_requests *caps = &endpoint->upstream->requests;

    if (caps->max > 0) {
        if (!take(&endpoint->member.share->group->active, caps->max))
            return false;
        lease->slots |= HOLDS_UPSTREAM;
    }
    if (caps->per_endpoint > 0) {
        if (!take(&endpoint->member.share->active, caps->per_endpoint)) {
            requests_give(lease, endpoint);
            return false;
        }
        lease->slots |= HOLDS_ENDPOINT;
    }
    return true;
}

void requests_give(struct lease *lease, const struct endpoint *endpoint)
{
    if (lease->slots & HOLDS_UPSTREAM)
        give(&endpoint->member.share->group->active);
    if (lease->slots & HOLDS_ENDPOINT)
        give(&endpoint->member.share->active);
    lease->slots = 0;
}

/* -- who waits ------------------------------------------------------------------ */

enum { BITS = 64 };

static unsigned own_bit(const struct upstream *upstream)
{
    return upstreams_worker(upstream) % BITS;
}

void requests_say_waiting(const struct upstream *upstream, bool waiting)
{
    uint64_t *mask = &upstream->members->group->waiting;
    uint64_t bit = UINT64_C(1) << own_bit(upstream);

    if (waiting) {
        __atomic_fetch_or(mask, bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(mask, ~bit, __ATOMIC_SEQ_CST);
    }
}

/* One slot, one worker: the next after us, so that all have their turn. It says so anew if it still
 * waits after that. */
void requests_end(struct lease *lease, const struct endpoint *endpoint)
{
    struct upstream *upstream = endpoint->upstream;
    uint64_t *mask = &endpoint->member.share->group->waiting;
    unsigned own = own_bit(upstream);
    uint64_t waiting;

    requests_give(lease, endpoint);
    waiting = __atomic_load_n(mask, __ATOMIC_SEQ_CST);
    for (unsigned i = 1; waiting != 0 && i < BITS; i++) {
        unsigned worker = (own + i) % BITS;
        uint64_t bit = UINT64_C(1) << worker;

        if (!(waiting & bit))
            continue;
        waiting = __atomic_fetch_and(mask, ~bit, __ATOMIC_SEQ_CST);
        if (waiting & bit) {
            upstream_say_freed(upstream, worker);
            return;
        }
    }
}
