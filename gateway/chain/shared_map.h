/*
 * shared_map.h - bytes under keys, which all workers read and change.
 *
 * For what one worker finds out and all can use: verified tokens, answers of an authority. Kept in
 * shards with a lock each, held for one copy. Full, a shard first drops what has expired among
 * its oldest, then what was used longest ago: a stranger who brings many keys can push out
 * others, but cannot keep new ones from being kept.
 *
 * Time is the caller's: milliseconds of a clock that never goes back, the same for all threads.
 *
 * Threads: any, but life and shared_map_grow(): the control thread.
 */
#ifndef CHAIN_SHARED_MAP_H
#define CHAIN_SHARED_MAP_H

#include "base/span.h"

struct shared_map;

enum {
    SHARED_MAP_MAX = 1 << 24,   /* keys of one map */
    SHARED_MAP_KEY = 4096,      /* bytes of a key */
    SHARED_MAP_VALUE = 1 << 20, /* bytes of a value */
};

/* What happened, since the beginning. */
struct shared_map_numbers {
    uint64_t live;     /* keys now, those not yet noticed to have expired included */
    uint64_t bytes;    /* of these, with their keys */
    uint64_t capacity; /* keys */
    uint64_t expired, evicted;
    uint64_t refused; /* too large, or no memory */
};

/* -- life ------------------------------------------------------------- */

/* At most capacity keys, and max_value bytes a value. NULL when out of memory or of bounds. */
struct shared_map *shared_map_new(uint64_t capacity, size_t max_value);

/* Nobody may use it any more. */
void shared_map_free(struct shared_map **map);

/* Take more keys and larger values, where these are more than before; never less. */
void shared_map_grow(struct shared_map *map, uint64_t capacity, size_t max_value);

/* -- actions ---------------------------------------------------------- */

/* Where a value is copied to. */
struct shared_map_copy {
    void *out; /* cap bytes */
    size_t cap;
    size_t len;      /* of the value, also when that is more than cap */
    uint64_t serial; /* grows with each set of the map */
};

/* Copy the value, or as much of it as fits. ERR_MISSING: nothing there. */
CHECKED enum err shared_map_get(struct shared_map *map, struct sluice_span key, uint64_t now_ms,
                                struct shared_map_copy *copy);

/* Keep value for ttl_ms. ERR_LIMIT: key or value are too large; ERR_MEMORY: none left. */
CHECKED enum err shared_map_set(struct shared_map *map, struct sluice_span key,
                                struct sluice_span value, uint64_t now_ms, uint64_t ttl_ms);

void shared_map_remove(struct shared_map *map, struct sluice_span key);

/* -- questions -------------------------------------------------------- */

struct shared_map_numbers shared_map_numbers(struct shared_map *map);

#endif /* CHAIN_SHARED_MAP_H */
