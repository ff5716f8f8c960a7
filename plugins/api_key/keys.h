/*
 * keys.h - which digest of a key belongs to whom: a compact table for many keys.
 *
 * Keys themselves are not kept, only their SHA-256. A table is made once and then only read, so any
 * number of threads may look into it; who shares one counts its holders.
 */
#ifndef API_KEY_KEYS_H
#define API_KEY_KEYS_H

#include "sluice_plugin.h"

#define KEYS_DIGEST   32
#define KEYS_NAME_MAX 4096 /* bytes of a consumer's name, and of its groups */

/* Seconds since 1970; 0: no bound. A key is good from not_before on and until expires. */
struct keys_span {
    uint32_t not_before, expires;
};

/* Whose key it is. Valid as long as the table. */
struct keys_hit {
    struct sluice_span name, groups; /* groups: separated by commas */
    struct keys_span span;
};

enum keys_result { KEYS_OK, KEYS_DUPLICATE, KEYS_NO_MEMORY, KEYS_TOO_LONG };

struct keys;

/* One holder. NULL: out of memory. */
struct keys *keys_new(void);
struct keys *keys_hold(struct keys *keys);
/* The last holder's frees it. Accepts NULL. */
void keys_free(struct keys **keys);

/* The consumer to which the next keys belong. */
enum keys_result keys_consumer(struct keys *keys, struct sluice_span name,
                               struct sluice_span groups);
enum keys_result keys_add(struct keys *keys, const unsigned char digest[KEYS_DIGEST],
                          struct keys_span span);

/* Accepts NULL: nothing is found. The comparison takes the same time wherever digests differ. */
bool keys_find(const struct keys *keys, const unsigned char digest[KEYS_DIGEST],
               struct keys_hit *hit);
size_t keys_count(const struct keys *keys);

#endif /* API_KEY_KEYS_H */
