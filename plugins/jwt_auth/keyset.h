/*
 * keyset.h - the keys of an issuer.
 *
 * Threads: read-only once filled.
 */
#ifndef JWT_AUTH_KEYSET_H
#define JWT_AUTH_KEYSET_H

#include "key.h"

#define KEYSET_MAX   64                  /* keys; issuers have two to ten */
#define KEYSET_BYTES ((size_t)128 << 10) /* of a JWKS document */

struct keyset;

/* How reading a JWKS went: keys taken, keys passed over, and why the first of those was. */
struct keyset_report {
    size_t taken, passed_over;
    enum key_fault first_fault;
};

struct keyset *keyset_new(void);
void keyset_free(struct keyset **set);

/* Takes *key. False: full, or out of memory; *key is then freed. */
bool keyset_add(struct keyset *set, struct key **key);

/*
 * Add the keys of a JWKS (RFC 7517 5), or of one JWK. Keys that cannot be used are passed over.
 * False: no such document, too many keys; the set is then as it was or holds some of them.
 */
bool keyset_read(struct keyset *set, struct sluice_span text, bool secrets,
                 struct keyset_report *report);

size_t keyset_size(const struct keyset *set);

/* All algorithms of all keys. */
uint32_t keyset_algs(const struct keyset *set);

/*
 * The next key that fits: alg is one of its own, and its name is kid, or one of both has no name.
 * Begin with *at 0. NULL: no more.
 */
const struct key *keyset_next(const struct keyset *set, enum alg alg, struct sluice_span kid,
                              size_t *at);

#endif /* JWT_AUTH_KEYSET_H */
