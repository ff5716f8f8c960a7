/*
 * sip.h - SipHash-1-3 with 128 bits of result: a keyed hash that stands for the bytes themselves.
 *
 * Who does not know the key cannot make two texts of one hash, and by chance it does not happen:
 * tables whose keys a peer may choose can keep the hash in place of the key. One round a word and
 * three at the end are what languages use for their tables, where a result is never shown.
 */
#ifndef BASE_SIP_H
#define BASE_SIP_H

#include "base/span.h"

struct sip_key {
    uint64_t word[2];
};

struct sip_hash {
    uint64_t word[2];
};

/* A key nobody knows. */
void sip_key_init(struct sip_key *key);

struct sip_hash sip_hash(const struct sip_key *key, struct sluice_span text);

#endif /* BASE_SIP_H */
