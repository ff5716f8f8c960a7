/*
 * balance_maglev.c - by key, in a table (Eisenbud et al., "Maglev", NSDI 2016, section 3.4).
 *
 * Each endpoint has an order of preference over all slots, and the endpoints take a slot in turn
 * until none is free: shares are even to a slot, a pick is one look. A change of members moves
 * the keys of those that came or went, and a few others.
 *
 * An endpoint of the highest weight has a turn in every round, others in a part of the rounds; all
 * have one in the first. A calendar (a list of endpoints for each round) finds who is next
 * without looking at everybody. Endpoints begin in the order of their ids: the order
 * in which a source names them must not matter.
 */
#include "base/alloc.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

#include <stdlib.h>

enum { SLOTS = 65537 /* a prime, so that every step visits each slot */ };

struct taker {
    uint64_t id;
    uint32_t member;
    uint32_t at, step;   /* the next slot it would like, and how far to the one after that */
    uint32_t turns;      /* it had */
    struct taker *later; /* in the same round */
};

struct draft {
    struct taker *taker;
    struct taker **first, **last; /* by round */
    uint32_t *slot;
    size_t n_takers, n_taken;
    uint64_t weight_max;
};

static const uint32_t FREE = UINT32_MAX;

static int order(const void *left, const void *right)
{
    const struct taker *a = left;
    const struct taker *b = right;

    return a->id < b->id ? -1 : a->id > b->id;
}

static void enter(struct draft *draft, struct taker *taker, uint64_t round)
{
    if (round >= SLOTS)
        return; /* the table is full by then */
    taker->later = NULL;
    if (draft->first[round]) {
        draft->last[round]->later = taker;
    } else {
        draft->first[round] = taker;
    }
    draft->last[round] = taker;
}

static void take(struct draft *draft, struct taker *taker)
{
    while (draft->slot[taker->at] != FREE) {
        taker->at = (taker->at + taker->step) % SLOTS;
    }
    draft->slot[taker->at] = taker->member;
    draft->n_taken++;
}

static void draft_open(struct draft *draft, const struct members *members)
{
    draft->n_takers = members->n;
    draft->taker = alloc_new(members->n * sizeof(*draft->taker));
    draft->first = alloc_new(SLOTS * sizeof(struct taker *));
    draft->last = alloc_new(SLOTS * sizeof(struct taker *));
    for (size_t i = 0; i < members->n; i++) {
        const struct member *member = &members->member[i];

        draft->taker[i] = (struct taker){
            .id = member->id,
            .member = (uint32_t)i,
            .at = (uint32_t)(balance_mix(member->id) % SLOTS),
            .step = (uint32_t)(balance_mix(~member->id) % (SLOTS - 1) + 1),
        };
        if (draft->weight_max < member->weight)
            draft->weight_max = member->weight;
    }
    qsort(draft->taker, members->n, sizeof(*draft->taker), order);
    for (size_t i = 0; i < members->n; i++) {
        enter(draft, &draft->taker[i], 0);
    }
}

static void draft_close(struct draft *draft)
{
    alloc_free(draft->taker);
    alloc_free(draft->first);
    alloc_free(draft->last);
}

static void prepare(struct members *members)
{
    struct slots *slots = &members->slots;
    struct draft draft = {.weight_max = 1};

    slots->member = arena_new(&members->arena, SLOTS * sizeof(*slots->member));
    slots->n = SLOTS;
    for (size_t i = 0; i < SLOTS; i++) {
        slots->member[i] = FREE;
    }
    draft.slot = slots->member;
    draft_open(&draft, members);
    for (size_t round = 0; draft.n_taken < SLOTS; round++) {
        struct taker *taker = draft.first[round];

        while (taker && draft.n_taken < SLOTS) {
            struct taker *later = taker->later;

            take(&draft, taker);
            taker->turns++;
            enter(&draft, taker,
                  taker->turns * draft.weight_max / members->member[taker->member].weight);
            taker = later;
        }
    }
    draft_close(&draft);
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    const struct slots *slots = &band->upstream->members->slots;

    if (!lease->has_key || slots->rule != &balance_maglev || slots->n == 0)
        return balance_random.pick(band, lease);
    return balance_walk(band, lease, lease->key % SLOTS);
}

const struct balance balance_maglev = {
    .name = "maglev", .key = BALANCE_KEY_HASH, .prepare = prepare, .pick = pick};
