/*
 * digest.h - a keyed 128-bit digest (SipHash-2-4) that stands for a token in the cache.
 *
 * With a secret key nobody can look for two tokens that share a digest, so one digest is one
 * token, and the cache need not keep tokens themselves.
 */
#ifndef JWT_AUTH_DIGEST_H
#define JWT_AUTH_DIGEST_H

#include "sluice_plugin.h"

struct digest {
    uint64_t low, high;
};

struct digest_key {
    uint64_t k0, k1;
};

struct digest digest_of(const struct digest_key *key, struct sluice_span text);

static inline bool digest_same(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

#endif /* JWT_AUTH_DIGEST_H */
