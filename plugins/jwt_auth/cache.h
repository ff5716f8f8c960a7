/*
 * cache.h - tokens that were looked at before: what came of it, for as long as it is true.
 *
 * Bounded, the least recently used goes first. All memory but the grants is taken at the start;
 * nothing is allocated to find.
 *
 * Owns:    the grants put into it.
 * Threads: one worker's own.
 */
#ifndef JWT_AUTH_CACHE_H
#define JWT_AUTH_CACHE_H

#include "digest.h"
#include "refusal.h"

struct cache;
struct grant; /* see grant.h */

/* At most size entries; 0: it keeps nothing. NULL: out of memory. */
struct cache *cache_new(size_t size);
void cache_free(struct cache **cache);

/* What is known of a token. Valid until the next cache_put() or cache_clear(). */
struct cache_answer {
    const struct grant *grant; /* NULL: refused */
    enum refusal refusal;
};

/* False: nothing is known, or not any more at now_us. */
bool cache_find(struct cache *cache, struct digest digest, uint64_t now_us,
                struct cache_answer *answer);

/*
 * Keep an answer until until_us. Takes *grant, which may be NULL when refused; returns it, owned
 * by the cache, or NULL when the cache keeps nothing: *grant is then still the caller's.
 */
const struct grant *cache_put(struct cache *cache, struct digest digest, enum refusal refusal,
                              struct grant **grant, uint64_t until_us);

/* Forget all: the keys have changed. */
void cache_clear(struct cache *cache);

size_t cache_used(const struct cache *cache);

#endif /* JWT_AUTH_CACHE_H */
