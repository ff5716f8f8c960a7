/*
 * map.c - entries stand in one array in the order of their coming; an index of open addresses
 * leads from a key's hash to its entry. A removed entry stays, without value, so that nobody's
 * way through the index is broken; the next rebuilding leaves such entries out.
 */
#include "base/map.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/rng.h"

#include <string.h>

enum { FIRST_ENTRIES = 8 };

struct entry {
    char *key; /* owned */
    size_t key_len;
    uint64_t hash;
    void *value; /* borrowed until removed, replaced, or the map's end; NULL: removed */
};

struct map {
    struct entry *entries; /* owned: n_entries of cap_entries */
    uint32_t *slots;       /* owned: 2 * cap_entries, each an entry's position + 1, or 0 */
    size_t n_entries, cap_entries, count;
    uint64_t seed;
};

void map_free(struct map **map)
{
    if (!*map)
        return;
    for (size_t i = 0; i < (*map)->n_entries; i++)
        alloc_free((*map)->entries[i].key);
    alloc_free((*map)->entries);
    alloc_free((*map)->slots);
    alloc_free(*map);
    *map = NULL;
}

/* Index of the slot that leads to key, or of the free one where its way ends. */
static size_t slot_of(const struct map *map, struct sluice_span key, uint64_t hash)
{
    size_t mask = 2 * map->cap_entries - 1;
    size_t at = hash & mask;

    /* Ends: at most half of the slots are taken. */
    for (; map->slots[at] != 0; at = (at + 1) & mask) {
        const struct entry *entry = &map->entries[map->slots[at] - 1];

        if (entry->value && entry->hash == hash &&
            span_equal(span_make(entry->key, entry->key_len), key))
            break;
    }
    return at;
}

/* Position + 1 of key's entry, or 0. */
static uint32_t find(const struct map *map, struct sluice_span key)
{
    return map->slots[slot_of(map, key, span_hash(key, map->seed))];
}

/* Make room for cap entries and lead to all there are. */
static void fit(struct map *map, size_t cap)
{
    size_t mask = 2 * cap - 1;

    CHECK(cap < UINT32_MAX);
    map->entries = alloc_resize(map->entries, cap * sizeof(*map->entries));
    alloc_free(map->slots);
    map->slots = alloc_new(2 * cap * sizeof(*map->slots));
    map->cap_entries = cap;
    for (size_t i = 0; i < map->n_entries; i++) {
        size_t at = map->entries[i].hash & mask;

        while (map->slots[at] != 0)
            at = (at + 1) & mask;
        map->slots[at] = (uint32_t)(i + 1);
    }
}

/* Forget removed entries, and double what is then still more than half full. */
static void rebuild(struct map *map)
{
    size_t n = 0;

    for (size_t i = 0; i < map->n_entries; i++) {
        if (map->entries[i].value)
            map->entries[n++] = map->entries[i];
    }
    map->n_entries = n;
    fit(map, n > map->cap_entries / 2 ? map->cap_entries * 2 : map->cap_entries);
}

struct map *map_new(void)
{
    struct map *map = alloc_new(sizeof(*map));
    struct rng rng;

    rng_init(&rng);
    map->seed = rng_next(&rng);
    fit(map, FIRST_ENTRIES);
    return map;
}

void *map_set(struct map *map, struct sluice_span key, void *value)
{
    uint32_t found = find(map, key);
    uint64_t hash;

    CHECK(value != NULL);
    if (found > 0) {
        struct entry *entry = &map->entries[found - 1];
        void *old = entry->value;

        entry->value = value;
        return old;
    }
    if (map->n_entries == map->cap_entries)
        rebuild(map);
    hash = span_hash(key, map->seed);
    map->slots[slot_of(map, key, hash)] = (uint32_t)(map->n_entries + 1);
    map->entries[map->n_entries++] =
        (struct entry){alloc_text(key.ptr, key.len), key.len, hash, value};
    map->count++;
    return NULL;
}

void *map_find(const struct map *map, struct sluice_span key)
{
    uint32_t found = find(map, key);

    return found > 0 ? map->entries[found - 1].value : NULL;
}

void *map_remove(struct map *map, struct sluice_span key)
{
    uint32_t found = find(map, key);
    struct entry *entry;
    void *value;

    if (found == 0)
        return NULL;
    entry = &map->entries[found - 1];
    value = entry->value;
    entry->value = NULL;
    alloc_free(entry->key);
    entry->key = NULL;
    map->count--;
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_each(const struct map *map, size_t *at, struct sluice_span *key, void **value)
{
    while (*at < map->n_entries) {
        const struct entry *entry = &map->entries[(*at)++];

        if (!entry->value)
            continue;
        *key = span_make(entry->key, entry->key_len);
        *value = entry->value;
        return true;
    }
    return false;
}
