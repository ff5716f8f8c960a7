/*
 * balance_sticky.c - the endpoint that the request names by its id; without one, or when that
 * endpoint is gone or full, in turn.
 */
#include "base/alloc.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

#include <stdlib.h>

struct named_member {
    uint64_t id;
    uint32_t member;
};

static int order(const void *left, const void *right)
{
    const struct named_member *a = left;
    const struct named_member *b = right;

    return a->id < b->id ? -1 : a->id > b->id;
}

static void prepare(struct members *members)
{
    struct slots *slots = &members->slots;
    struct named_member *sorted = alloc_new(members->n * sizeof(*sorted));

    for (size_t i = 0; i < members->n; i++) {
        sorted[i] = (struct named_member){members->member[i].id, (uint32_t)i};
    }
    qsort(sorted, members->n, sizeof(*sorted), order);
    slots->n = members->n;
    slots->at = arena_new(&members->arena, members->n * sizeof(*slots->at));
    slots->member = arena_new(&members->arena, members->n * sizeof(*slots->member));
    for (size_t i = 0; i < members->n; i++) {
        slots->at[i] = sorted[i].id;
        slots->member[i] = sorted[i].member;
    }
    alloc_free(sorted);
}

static struct endpoint *find(const struct upstream *upstream, uint64_t id)
{
    const struct slots *slots = &upstream->members->slots;
    size_t low = 0;
    size_t high = slots->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slots->at[middle] == id)
            return upstream->endpoint[slots->member[middle]];
        if (slots->at[middle] > id) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/*
 * May it be picked, in whichever band? One whose band has no share has done its time as a backup.
 */
static bool is_candidate(const struct candidates *candidates, const struct endpoint *endpoint)
{
    uint16_t band = candidates->band_of[endpoint->index];

    return band != BAND_NONE && candidates->band[band].share > 0;
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    bool is_named = lease->has_key && band->upstream->members->slots.rule == &balance_sticky;
    struct endpoint *named = is_named ? find(band->upstream, lease->key) : NULL;

    return named && is_candidate(band->candidates, named) && balance_is_fit(lease, named)
               ? named
               : balance_round.pick(band, lease);
}

const struct balance balance_sticky = {
    .name = "sticky_cookie", .key = BALANCE_KEY_ENDPOINT, .prepare = prepare, .pick = pick};
