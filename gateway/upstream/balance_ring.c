/*
 * balance_ring.c - by key, on a ring: the endpoint of the first point at or after the key.
 *
 * An endpoint has 100 points by weight. All points together are capped, and then shared out; an
 * endpoint's points are numbered, so that with fewer of them the first ones stay where they are.
 * A change of members moves the keys of those that came or went, and no others.
 */
#include "base/alloc.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

#include <stdlib.h>

enum { POINTS = 100 /* by weight */, POINTS_MAX = 65536 };

struct point {
    uint64_t at, id;
    uint32_t member;
};

static size_t points_of(const struct members *members, const struct member *member)
{
    uint64_t sum = members->weights;
    uint64_t points = (uint64_t)member->weight * POINTS;

    if (sum * POINTS > POINTS_MAX)
        points = (uint64_t)member->weight * POINTS_MAX / sum;
    return points > 0 ? points : 1;
}

static int order(const void *left, const void *right)
{
    const struct point *a = left;
    const struct point *b = right;

    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void keep(struct members *members, const struct point *point, size_t n)
{
    struct slots *slots = &members->slots;

    slots->at = arena_new(&members->arena, n * sizeof(*slots->at));
    slots->member = arena_new(&members->arena, n * sizeof(*slots->member));
    slots->n = n;
    for (size_t i = 0; i < n; i++) {
        slots->at[i] = point[i].at;
        slots->member[i] = point[i].member;
    }
}

static void prepare(struct members *members)
{
    struct point *point;
    size_t n = 0;

    for (size_t i = 0; i < members->n; i++) {
        n += points_of(members, &members->member[i]);
    }
    point = alloc_new(n * sizeof(*point));
    n = 0;
    for (size_t i = 0; i < members->n; i++) {
        const struct member *member = &members->member[i];
        size_t points = points_of(members, member);

        for (size_t j = 0; j < points; j++) {
            point[n++] =
                (struct point){balance_mix(member->id ^ balance_mix(j)), member->id, (uint32_t)i};
        }
    }
    qsort(point, n, sizeof(*point), order);
    keep(members, point, n);
    alloc_free(point);
}

/* The first point at or after the key; after the last comes the first. */
static size_t find(const struct slots *slots, uint64_t key)
{
    size_t low = 0;
    size_t high = slots->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slots->at[middle] >= key) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < slots->n ? low : 0;
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    const struct slots *slots = &band->upstream->members->slots;

    if (!lease->has_key || slots->rule != &balance_ring || slots->n == 0)
        return balance_random.pick(band, lease);
    return balance_walk(band, lease, find(slots, lease->key));
}

const struct balance balance_ring = {
    .name = "ring_hash", .key = BALANCE_KEY_HASH, .prepare = prepare, .pick = pick};
