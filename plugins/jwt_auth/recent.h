/*
 * recent.h - tokens that were let in a short while ago, with their digests.
 *
 * A digest of a token takes longer than all the rest of letting it in. Who sends the same token
 * again has it compared, byte by byte, with the copy that is kept here, and its digest is known.
 * Only tokens that were let in are kept, so strangers push nobody out; each has one
 * place, found by its end, and takes it from who was there.
 *
 * Owns:    the copies, which are wiped when they go.
 * Threads: one worker's own.
 */
#ifndef JWT_AUTH_RECENT_H
#define JWT_AUTH_RECENT_H

#include "digest.h"

struct recent;

enum { RECENT_PLACES = 1024, RECENT_TOKEN_MAX = 4096 /* longer ones are not kept */ };

/* NULL: out of memory. secret: nobody who does not know it finds out where a token goes. */
struct recent *recent_new(const struct digest_key *secret);
void recent_free(struct recent **recent);

/* False: it is not there. */
bool recent_find(const struct recent *recent, struct sluice_span token, struct digest *digest);

/* Keep it; without memory, it is not. */
void recent_put(struct recent *recent, struct sluice_span token, struct digest digest);

#endif /* JWT_AUTH_RECENT_H */
