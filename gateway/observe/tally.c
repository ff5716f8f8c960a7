/*
 * tally.c - kinds are few (a list), keys are many (a map a kind).
 *
 * A map keeps the order of insertion, so tally_each() needs no list of its own.
 */
#include "observe/tally.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"

#include <string.h>

enum { BLOCKS_MAX = 100000, SLOT_ALIGN = 64 };

struct entry {
    struct tally_block block;
    char *memory; /* owned: the slots and what aligns them */
};

struct kind {
    struct kind *next; /* owned */
    const char *name;  /* borrowed, a literal */
    size_t bytes;      /* of one slot, as first asked for */
    struct map *keys;  /* owned; values: struct entry, owned */
};

struct tally {
    unsigned n_workers;
    size_t n_blocks;
    size_t bytes;       /* of all blocks */
    struct kind *kinds; /* owned */
};

/* -- life --------------------------------------------------------------- */

struct tally *tally_new(unsigned n_workers)
{
    struct tally *tally = alloc_new(sizeof *tally);

    tally->n_workers = n_workers ? n_workers : 1;
    return tally;
}

static void kind_free(struct kind *kind)
{
    struct sluice_span key;
    size_t at = 0;
    void *value;

    while (map_each(kind->keys, &at, &key, &value)) {
        struct entry *entry = value;

        alloc_free(entry->memory);
        alloc_free(entry);
    }
    map_free(&kind->keys);
    alloc_free(kind);
}

size_t tally_bytes(const struct tally *tally)
{
    return tally->bytes;
}

void tally_free(struct tally **tally)
{
    if (!*tally)
        return;
    while ((*tally)->kinds) {
        struct kind *kind = (*tally)->kinds;

        (*tally)->kinds = kind->next;
        kind_free(kind);
    }
    alloc_free(*tally);
    *tally = NULL;
}

/* -- blocks ------------------------------------------------------------- */

static struct kind *kind_find(const struct tally *tally, const char *name)
{
    for (struct kind *kind = tally->kinds; kind; kind = kind->next) {
        if (strcmp(kind->name, name) == 0)
            return kind;
    }
    return NULL;
}

static struct kind *kind_new(struct tally *tally, const char *name, size_t bytes)
{
    struct kind *kind = alloc_new(sizeof *kind);

    kind->name = name;
    kind->bytes = bytes;
    kind->keys = map_new();
    kind->next = tally->kinds;
    tally->kinds = kind;
    return kind;
}

/* One allocation holds the slots and the key: they live and end together. */
static struct entry *entry_new(struct tally *tally, const struct kind *kind, struct sluice_span key)
{
    struct entry *entry = alloc_new(sizeof *entry);
    size_t stride = (kind->bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    size_t slots = stride * tally->n_workers;
    char *text;

    entry->memory = alloc_new(SLOT_ALIGN + slots + key.len);
    tally->bytes += sizeof(*entry) + SLOT_ALIGN + slots + key.len;
    entry->block.slots = entry->memory + (SLOT_ALIGN - (uintptr_t)entry->memory % SLOT_ALIGN);
    entry->block.stride = stride;
    entry->block.n = tally->n_workers;
    text = entry->block.slots + slots;
    if (key.len)
        memcpy(text, key.ptr, key.len);
    entry->block.key = span_make(text, key.len);
    tally->n_blocks++;
    return entry;
}

const struct tally_block *tally_get(struct tally *tally, const char *kind, struct sluice_span key,
                                    size_t bytes)
{
    struct kind *of = kind_find(tally, kind);
    struct entry *entry;

    if (!of)
        of = kind_new(tally, kind, bytes);
    CHECK(of->bytes == bytes);
    entry = map_find(of->keys, key);
    if (!entry && tally->n_blocks >= BLOCKS_MAX) {
        key = SPAN("other");
        entry = map_find(of->keys, key);
    }
    if (!entry) {
        entry = entry_new(tally, of, key);
        map_set(of->keys, key, entry);
    }
    return &entry->block;
}

void tally_each(const struct tally *tally, const char *kind, tally_each_fn *each, void *arg)
{
    const struct kind *of = kind_find(tally, kind);
    struct sluice_span key;
    size_t at = 0;
    void *value;

    if (!of)
        return;
    while (map_each(of->keys, &at, &key, &value)) {
        const struct entry *entry = value;

        each(arg, &entry->block);
    }
}
