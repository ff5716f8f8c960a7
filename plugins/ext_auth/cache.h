/*
 * cache.h - decisions by a digest of their key, under a secret of the process.
 *
 * Bounded: who comes takes the place of who would go first.
 *
 * Owns:    the decisions put into it.
 * Threads: one worker's own.
 */
#ifndef EXT_AUTH_CACHE_H
#define EXT_AUTH_CACHE_H

#include "decision.h"

#define CACHE_DIGEST    32
#define CACHE_BYTES_MAX ((size_t)16 * 1024) /* of one decision */

struct cache;

struct cache_key {
    unsigned char digest[CACHE_DIGEST];
};

/* About size entries; 0: it keeps nothing. NULL: out of memory, or there is no secret. */
struct cache *cache_new(size_t size);
void cache_free(struct cache **cache);

/* False: no digest could be made. */
bool cache_key(const struct cache *cache, struct sluice_span text, struct cache_key *key);

/* NULL: nothing is known. Valid until the next cache_put(). */
const struct decision *cache_find(const struct cache *cache, const struct cache_key *key,
                                  uint64_t now_us);
/* Takes *decision, unless it is too large or over at once. */
void cache_put(struct cache *cache, const struct cache_key *key, struct decision **decision,
               uint64_t now_us, uint64_t until_us);

#endif /* EXT_AUTH_CACHE_H */
