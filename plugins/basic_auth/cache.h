/*
 * cache.h - credentials that were right a moment ago, as digests under a secret of the process.
 *
 * Bounded: who comes takes the place of who would go first. What is right is remembered alone.
 *
 * Threads: one worker's own.
 */
#ifndef BASIC_AUTH_CACHE_H
#define BASIC_AUTH_CACHE_H

#include "credentials.h"

#include <openssl/sha.h>

struct cache;

struct cache_key {
    unsigned char digest[SHA256_DIGEST_LENGTH];
};

/* About size entries; 0: nothing is remembered. NULL: out of memory, or there is no secret. */
struct cache *cache_new(size_t size);
void cache_free(struct cache **cache);

/*
 * What stands for these credentials beside that hash: with another hash it is another key. False:
 * no digest could be made.
 */
bool cache_key(const struct cache *cache, const struct credentials *credentials,
               struct sluice_span hash, struct cache_key *key);
bool cache_key_same(const struct cache_key *a, const struct cache_key *b);

bool cache_has(const struct cache *cache, const struct cache_key *key, uint64_t now_us);
void cache_put(struct cache *cache, const struct cache_key *key, uint64_t now_us,
               uint64_t until_us);
void cache_clear(struct cache *cache);

/* A number of that name, the same each time, below n: for who is not in the table. */
size_t cache_pick(const struct cache *cache, struct sluice_span name, size_t n);

#endif /* BASIC_AUTH_CACHE_H */
