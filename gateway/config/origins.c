/*
 * origins.c - an open hash table from address to place, in an arena.
 *
 * Grows by doubling; the smaller tables stay in the arena until it ends, which at
 * most doubles the memory. Out of memory loses places, never values.
 */
#include "config/origins.h"

enum { SLOTS_FIRST = 256 };

struct slot {
    const void *address; /* only compared, never followed */
    struct mark at;
};

struct origins {
    struct arena *arena; /* borrowed; we live in it */
    struct slot *slots;  /* in the arena, n_slots of them, a power of two, or NULL */
    size_t n_slots, used;
};

struct origins *origins_new(struct arena *arena)
{
    struct origins *origins = arena_new(arena, sizeof(*origins));

    origins->arena = arena;
    return origins;
}

/* The slot of address, or the free one where it belongs. At least one slot is free. */
static struct slot *slot_of(struct slot *slots, size_t n_slots, const void *address)
{
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(hash >> 20) & (n_slots - 1);

    while (slots[i].address && slots[i].address != address)
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static bool has_room(struct origins *origins)
{
    size_t n_slots = origins->n_slots ? origins->n_slots * 2 : SLOTS_FIRST;
    struct slot *slots;

    if (origins->used * 4 < origins->n_slots * 3)
        return true;
    slots = arena_try(origins->arena, n_slots * sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < origins->n_slots; i++) {
        if (origins->slots[i].address)
            *slot_of(slots, n_slots, origins->slots[i].address) = origins->slots[i];
    }
    origins->slots = slots;
    origins->n_slots = n_slots;
    return true;
}

void origins_add(struct origins *origins, const void *address, struct mark at)
{
    struct slot *slot;

    if (!origins || at.line == 0 || !has_room(origins))
        return;
    slot = slot_of(origins->slots, origins->n_slots, address);
    origins->used += slot->address == NULL;
    *slot = (struct slot){address, at};
}

bool origins_find(const struct origins *origins, const void *address, struct mark *at)
{
    const struct slot *slot;

    if (!origins || !origins->slots)
        return false;
    slot = slot_of(origins->slots, origins->n_slots, address);
    if (!slot->address)
        return false;
    *at = slot->at;
    return true;
}
