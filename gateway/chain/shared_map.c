#include "chain/shared_map.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rng.h"

#include <string.h>

enum {
    SHARDS_MAX = 64,
    SHARD_KEYS = 64,  /* fewer are not worth a shard */
    EXPIRED_LOOK = 4, /* of the oldest, for one that has expired */
    LINE = 64,
};

struct item {
    struct item *next; /* of its bucket */
    struct list use;   /* newest first */
    uint64_t hash, expires_ms, serial;
    size_t key_len, value_len;
    char bytes[]; /* key, then value */
};

struct shard {
    struct lock lock;
    struct item **bucket; /* owned, of owned items */
    struct list use;      /* of items: the last is the one to go */
    uint64_t n, max, bytes;
    uint64_t expired, evicted;
    char padding[LINE];
};

struct shared_map {
    struct shard *shard; /* owned */
    unsigned n_shards;
    uint64_t mask; /* of a shard's buckets */
    uint64_t seed;
    size_t max_value;  /* atomic, as are those that follow */
    uint64_t capacity; /* keys */
    uint64_t serial, refused;
};

/* -- items ------------------------------------------------------------------ */

static struct sluice_span key_of(const struct item *item)
{
    return span_make(item->bytes, item->key_len);
}

static size_t size_of(const struct item *item)
{
    return item->key_len + item->value_len;
}

static struct item *item_new(uint64_t hash, struct sluice_span key, struct sluice_span value)
{
    struct item *item = alloc_try(sizeof(*item) + key.len + value.len);

    if (!item)
        return NULL;
    item->hash = hash;
    item->key_len = key.len;
    item->value_len = value.len;
    if (key.len > 0)
        memcpy(item->bytes, key.ptr, key.len);
    if (value.len > 0)
        memcpy(item->bytes + key.len, value.ptr, value.len);
    list_init(&item->use);
    return item;
}

/* -- shards, their lock taken ------------------------------------------------- */

static struct shard *shard_of(struct shared_map *map, uint64_t hash)
{
    return &map->shard[(hash >> 48) % map->n_shards];
}

static struct item **place_of(const struct shared_map *map, struct shard *shard, uint64_t hash,
                              struct sluice_span key)
{
    struct item **place = &shard->bucket[hash & map->mask];

    while (*place && ((*place)->hash != hash || !span_equal(key_of(*place), key)))
        place = &(*place)->next;
    return place;
}

/* Take it out; the caller frees it when the lock is given. */
static struct item *take_out(struct shard *shard, struct item **place)
{
    struct item *item = *place;

    *place = item->next;
    list_remove(&item->use);
    shard->n--;
    shard->bytes -= size_of(item);
    item->next = NULL;
    return item;
}

/* Who is to go so that another can come. */
static struct item *choose(struct shard *shard, uint64_t now_ms, bool *has_expired)
{
    struct list *node = shard->use.prev;

    *has_expired = true;
    for (unsigned i = 0; i < EXPIRED_LOOK && node != &shard->use; i++, node = node->prev) {
        struct item *item = list_entry(node, struct item, use);

        if (item->expires_ms <= now_ms)
            return item;
    }
    *has_expired = false;
    return list_entry(shard->use.prev, struct item, use);
}

static struct item *make_room(const struct shared_map *map, struct shard *shard, uint64_t now_ms)
{
    bool has_expired;
    struct item *item;

    if (shard->n < shard->max)
        return NULL;
    item = choose(shard, now_ms, &has_expired);
    shard->expired += has_expired;
    shard->evicted += !has_expired;
    return take_out(shard, place_of(map, shard, item->hash, key_of(item)));
}

static void put_in(const struct shared_map *map, struct shard *shard, struct item *item)
{
    struct item **bucket = &shard->bucket[item->hash & map->mask];

    item->next = *bucket;
    *bucket = item;
    list_push(&shard->use, &item->use);
    shard->n++;
    shard->bytes += size_of(item);
}

/* -- actions -------------------------------------------------------------------- */

enum err shared_map_get(struct shared_map *map, struct sluice_span key, uint64_t now_ms,
                        struct shared_map_copy *copy)
{
    uint64_t hash = span_hash(key, map->seed);
    struct shard *shard = shard_of(map, hash);
    struct item *item;
    bool is_there;

    lock_take(&shard->lock);
    item = *place_of(map, shard, hash, key);
    is_there = item && item->expires_ms > now_ms;
    if (is_there) {
        copy->len = item->value_len;
        copy->serial = item->serial;
        if (copy->cap > 0 && copy->len > 0) {
            memcpy(copy->out, item->bytes + item->key_len,
                   copy->len < copy->cap ? copy->len : copy->cap);
        }
        list_remove(&item->use);
        list_push(&shard->use, &item->use);
    }
    lock_give(&shard->lock);
    return is_there ? OK : ERR_MISSING;
}

enum err shared_map_set(struct shared_map *map, struct sluice_span key, struct sluice_span value,
                        uint64_t now_ms, uint64_t ttl_ms)
{
    uint64_t hash = span_hash(key, map->seed);
    struct shard *shard = shard_of(map, hash);
    bool fits = key.len <= SHARED_MAP_KEY &&
                value.len <= __atomic_load_n(&map->max_value, __ATOMIC_RELAXED);
    struct item *item = fits ? item_new(hash, key, value) : NULL;
    struct item *old;
    struct item **place;

    if (!item) {
        __atomic_fetch_add(&map->refused, 1, __ATOMIC_RELAXED);
        return fits ? ERR_MEMORY : ERR_LIMIT;
    }
    item->expires_ms = now_ms + ttl_ms;
    lock_take(&shard->lock);
    /* Within the lock: the later set of a key has the higher serial. */
    item->serial = __atomic_add_fetch(&map->serial, 1, __ATOMIC_RELAXED);
    place = place_of(map, shard, hash, key);
    old = *place ? take_out(shard, place) : make_room(map, shard, now_ms);
    put_in(map, shard, item);
    lock_give(&shard->lock);
    alloc_free(old);
    return OK;
}

void shared_map_remove(struct shared_map *map, struct sluice_span key)
{
    uint64_t hash = span_hash(key, map->seed);
    struct shard *shard = shard_of(map, hash);
    struct item *old;
    struct item **place;

    lock_take(&shard->lock);
    place = place_of(map, shard, hash, key);
    old = *place ? take_out(shard, place) : NULL;
    lock_give(&shard->lock);
    alloc_free(old);
}

/* -- questions -------------------------------------------------------------------- */

struct shared_map_numbers shared_map_numbers(struct shared_map *map)
{
    struct shared_map_numbers numbers = {
        .capacity = __atomic_load_n(&map->capacity, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&map->refused, __ATOMIC_RELAXED),
    };

    for (unsigned i = 0; i < map->n_shards; i++) {
        struct shard *shard = &map->shard[i];

        lock_take(&shard->lock);
        numbers.live += shard->n;
        numbers.bytes += shard->bytes;
        numbers.expired += shard->expired;
        numbers.evicted += shard->evicted;
        lock_give(&shard->lock);
    }
    return numbers;
}

/* -- life --------------------------------------------------------------------------- */

static uint64_t share_of(const struct shared_map *map, uint64_t capacity)
{
    return (capacity + map->n_shards - 1) / map->n_shards;
}

struct shared_map *shared_map_new(uint64_t capacity, size_t max_value)
{
    struct shared_map *map;
    struct rng rng;
    uint64_t buckets = 1;

    if (capacity == 0 || capacity > SHARED_MAP_MAX || max_value > SHARED_MAP_VALUE)
        return NULL;
    map = alloc_new(sizeof(*map));
    rng_init(&rng);
    map->seed = rng_next(&rng);
    map->n_shards = 1;
    while (map->n_shards < SHARDS_MAX && (uint64_t)map->n_shards * SHARD_KEYS < capacity)
        map->n_shards *= 2;
    map->capacity = capacity;
    map->max_value = max_value;
    map->shard = alloc_new(map->n_shards * sizeof(*map->shard));
    while (buckets < share_of(map, capacity))
        buckets *= 2;
    map->mask = buckets - 1;
    for (unsigned i = 0; i < map->n_shards; i++) {
        struct shard *shard = &map->shard[i];

        lock_init(&shard->lock);
        list_init(&shard->use);
        shard->max = share_of(map, capacity);
        shard->bucket = alloc_zero_try(buckets * sizeof(struct item *));
        if (!shard->bucket) {
            map->n_shards = i + 1;
            shared_map_free(&map);
            return NULL;
        }
    }
    return map;
}

void shared_map_free(struct shared_map **map)
{
    struct shared_map *old = *map;

    *map = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < old->n_shards; i++) {
        struct shard *shard = &old->shard[i];

        list_each_safe (node, after, &shard->use) {
            alloc_free(list_entry(node, struct item, use));
        }
        lock_fini(&shard->lock);
        alloc_free(shard->bucket);
    }
    alloc_free(old->shard);
    alloc_free(old);
}

void shared_map_grow(struct shared_map *map, uint64_t capacity, size_t max_value)
{
    if (max_value > map->max_value && max_value <= SHARED_MAP_VALUE)
        __atomic_store_n(&map->max_value, max_value, __ATOMIC_RELAXED);
    if (capacity <= map->capacity || capacity > SHARED_MAP_MAX)
        return;
    __atomic_store_n(&map->capacity, capacity, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < map->n_shards; i++) {
        lock_take(&map->shard[i].lock);
        map->shard[i].max = share_of(map, capacity);
        lock_give(&map->shard[i].lock);
    }
}
