/*
 * cache.c - chains of entries by digest, and one list by use; both by index.
 *
 * Index 0 of entries is the head of the list by use: next is the freshest, prev the stalest.
 */
#include "cache.h"

#include "grant.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct digest digest;
    uint64_t until_us;
    struct grant *grant; /* owned; NULL: refused */
    uint32_t next, prev; /* by use */
    uint32_t chain;      /* the next with the same bucket; 0: none */
    enum refusal refusal;
};

struct cache {
    size_t size, used;
    size_t n_buckets;      /* a power of two */
    struct entry *entries; /* owned, size + 1 */
    uint32_t *buckets;     /* owned; 0: empty */
};

/* -- life ------------------------------------------------------------------ */

struct cache *cache_new(size_t size)
{
    struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    cache->size = size;
    for (cache->n_buckets = 1; cache->n_buckets < size + size / 2;)
        cache->n_buckets *= 2;
    cache->entries = calloc(size + 1, sizeof(*cache->entries));
    cache->buckets = calloc(cache->n_buckets, sizeof(*cache->buckets));
    if (!cache->entries || !cache->buckets)
        cache_free(&cache);
    return cache;
}

void cache_free(struct cache **cache)
{
    struct cache *gone = *cache;

    *cache = NULL;
    if (!gone)
        return;
    if (gone->entries && gone->buckets)
        cache_clear(gone);
    free(gone->entries);
    free(gone->buckets);
    free(gone);
}

void cache_clear(struct cache *cache)
{
    for (size_t i = 1; i <= cache->used; i++)
        grant_free(&cache->entries[i].grant);
    memset(cache->entries, 0, (cache->size + 1) * sizeof(*cache->entries));
    memset(cache->buckets, 0, cache->n_buckets * sizeof(*cache->buckets));
    cache->used = 0;
}

/* -- the list by use ----------------------------------------------------------- */

static void unlink_use(struct cache *cache, uint32_t at)
{
    struct entry *entry = &cache->entries[at];

    cache->entries[entry->prev].next = entry->next;
    cache->entries[entry->next].prev = entry->prev;
}

static void link_freshest(struct cache *cache, uint32_t at)
{
    struct entry *entry = &cache->entries[at], *head = &cache->entries[0];

    entry->prev = 0;
    entry->next = head->next;
    cache->entries[head->next].prev = at;
    head->next = at;
}

/* -- the chains ------------------------------------------------------------------- */

static uint32_t *bucket_of(struct cache *cache, struct digest digest)
{
    return &cache->buckets[digest.low & (cache->n_buckets - 1)];
}

static uint32_t find(struct cache *cache, struct digest digest)
{
    uint32_t at = *bucket_of(cache, digest);

    while (at != 0 && !digest_same(cache->entries[at].digest, digest))
        at = cache->entries[at].chain;
    return at;
}

static void unchain(struct cache *cache, uint32_t at)
{
    uint32_t *link = bucket_of(cache, cache->entries[at].digest);

    while (*link != at)
        link = &cache->entries[*link].chain;
    *link = cache->entries[at].chain;
}

/* An entry to write: a new one, or the stalest, forgotten. */
static uint32_t take(struct cache *cache)
{
    uint32_t at;

    if (cache->used < cache->size)
        return (uint32_t)++cache->used;
    at = cache->entries[0].prev;
    unlink_use(cache, at);
    unchain(cache, at);
    grant_free(&cache->entries[at].grant);
    return at;
}

/* -- finding and keeping ------------------------------------------------------------- */

bool cache_find(struct cache *cache, struct digest digest, uint64_t now_us,
                struct cache_answer *answer)
{
    uint32_t at = find(cache, digest);
    struct entry *entry = &cache->entries[at];

    if (at == 0 || now_us >= entry->until_us)
        return false;
    if (cache->entries[0].next != at) {
        unlink_use(cache, at);
        link_freshest(cache, at);
    }
    *answer = (struct cache_answer){entry->grant, entry->refusal};
    return true;
}

const struct grant *cache_put(struct cache *cache, struct digest digest, enum refusal refusal,
                              struct grant **grant, uint64_t until_us)
{
    uint32_t at = find(cache, digest), *bucket = bucket_of(cache, digest);
    struct entry *entry;

    if (cache->size == 0)
        return NULL;
    if (at != 0) {
        unlink_use(cache, at);
        grant_free(&cache->entries[at].grant);
    } else {
        at = take(cache);
        cache->entries[at].digest = digest;
        cache->entries[at].chain = *bucket;
        *bucket = at;
    }
    entry = &cache->entries[at];
    entry->until_us = until_us;
    entry->refusal = refusal;
    entry->grant = *grant;
    *grant = NULL;
    link_freshest(cache, at);
    return entry->grant;
}

size_t cache_used(const struct cache *cache)
{
    return cache->used;
}
