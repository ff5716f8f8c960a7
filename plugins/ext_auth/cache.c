/*
 * cache.c - sets of a few entries; a digest has its set, and in it the place that ends first.
 */
#include "cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <stdlib.h>
#include <string.h>

#define WAYS 4

struct entry {
    struct cache_key key;
    uint64_t until_us;         /* 0: free */
    struct decision *decision; /* owned */
};

struct cache {
    size_t n_sets;         /* a power of two, or 0 */
    struct entry *entries; /* owned, n_sets * WAYS */
    EVP_MD *sha256;        /* owned */
    EVP_MD_CTX *hashing;   /* owned: so that a request allocates nothing */
    unsigned char secret[CACHE_DIGEST];
};

struct cache *cache_new(size_t size)
{
    struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    if (size > 0) {
        for (cache->n_sets = 1; cache->n_sets * WAYS < size;)
            cache->n_sets *= 2;
        cache->entries = calloc(cache->n_sets * WAYS, sizeof(*cache->entries));
    }
    cache->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    cache->hashing = EVP_MD_CTX_new();
    if (!cache->sha256 || !cache->hashing || (size > 0 && !cache->entries) ||
        RAND_bytes(cache->secret, sizeof(cache->secret)) != 1)
        cache_free(&cache);
    return cache;
}

void cache_free(struct cache **cache)
{
    struct cache *gone = *cache;

    *cache = NULL;
    if (!gone)
        return;
    for (size_t i = 0; gone->entries && i < gone->n_sets * WAYS; i++)
        decision_free(&gone->entries[i].decision);
    free(gone->entries);
    EVP_MD_CTX_free(gone->hashing);
    EVP_MD_free(gone->sha256);
    OPENSSL_cleanse(gone->secret, sizeof(gone->secret));
    free(gone);
}

bool cache_key(const struct cache *cache, struct sluice_span text, struct cache_key *key)
{
    return EVP_DigestInit_ex(cache->hashing, cache->sha256, NULL) == 1 &&
           EVP_DigestUpdate(cache->hashing, cache->secret, sizeof(cache->secret)) == 1 &&
           EVP_DigestUpdate(cache->hashing, text.ptr, text.len) == 1 &&
           EVP_DigestFinal_ex(cache->hashing, key->digest, NULL) == 1;
}

static struct entry *set_of(const struct cache *cache, const struct cache_key *key)
{
    uint64_t word;

    memcpy(&word, key->digest, sizeof(word));
    return cache->entries + ((size_t)word & (cache->n_sets - 1)) * WAYS;
}

static bool is_same(const struct cache_key *a, const struct cache_key *b)
{
    return CRYPTO_memcmp(a->digest, b->digest, CACHE_DIGEST) == 0;
}

const struct decision *cache_find(const struct cache *cache, const struct cache_key *key,
                                  uint64_t now_us)
{
    const struct entry *set;

    if (cache->n_sets == 0)
        return NULL;
    set = set_of(cache, key);
    for (size_t i = 0; i < WAYS; i++) {
        if (now_us < set[i].until_us && is_same(&set[i].key, key))
            return set[i].decision;
    }
    return NULL;
}

void cache_put(struct cache *cache, const struct cache_key *key, struct decision **decision,
               uint64_t now_us, uint64_t until_us)
{
    struct entry *set, *place;

    if (cache->n_sets == 0 || until_us <= now_us || (*decision)->bytes > CACHE_BYTES_MAX)
        return;
    set = place = set_of(cache, key);
    for (size_t i = 0; i < WAYS; i++) {
        if (is_same(&set[i].key, key)) {
            place = &set[i];
            break;
        }
        if (set[i].until_us < place->until_us)
            place = &set[i];
    }
    decision_free(&place->decision);
    *place = (struct entry){*key, until_us, *decision};
    *decision = NULL;
}
