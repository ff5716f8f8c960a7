/*
 * jwks.h - the keys that an issuer publishes, kept fresh by one fetch for all workers.
 *
 * What was fetched lies in a shared map, when to fetch next in shared words; both are known by the
 * address, so that places with the same issuer share them and a reload finds them again. Each
 * worker holds the keys as it has read them, and looks for newer ones.
 *
 * A token that names an unknown key makes its exchange wait for a fetch that began after it came:
 * an issuer may sign with a new key the moment it is published. One fetch serves all who wait, and
 * between two of them is a cooldown, so that made-up names cost the issuer little.
 *
 * Owns:    the keys, and the list of those who wait.
 * Threads: struct jwks is one worker's own; struct jwks_shared is shared, by the gateway's means.
 */
#ifndef JWT_AUTH_JWKS_H
#define JWT_AUTH_JWKS_H

#include "keyset.h"

struct jwks;

struct jwks_options {
    const struct sluice_target *target; /* NULL: keys come from elsewhere */
    uint64_t refresh_ms, cooldown_ms, timeout_ms, max_stale_ms;
    /* compiled */
    struct sluice_words *words;
    struct sluice_map *map;
    struct sluice_metric *fetches;
};

/* In conf_start: make what is shared. False: told by conf_error(). */
bool jwks_share(const struct sluice_host *host, struct sluice_setup *setup,
                struct jwks_options *options);

/* Called when the keys have changed: forget what was concluded from the old ones. */
typedef void jwks_changed_fn(const struct sluice_call *call);

/*
 * On a worker. NULL: out of memory, or the gateway lacks a service. woken is called with the call
 * of each exchange whose wait is over, and answers for it; options are borrowed.
 */
struct jwks *jwks_start(const struct sluice_call *call, const struct jwks_options *options,
                        jwks_changed_fn *changed, sluice_timer_fn *woken);
void jwks_stop(const struct sluice_call *call, struct jwks **jwks);

/*
 * Wait for a key of that name, or for any when kid is empty. True: the exchange is noted, answer
 * SLUICE_WAIT. False: no fetch can answer soon enough, or too many wait already.
 */
bool jwks_wait(const struct sluice_call *call, struct jwks *jwks, enum alg alg,
               struct sluice_span kid);

/* What is known now; NULL: nothing (any more). */
const struct keyset *jwks_keys(const struct jwks *jwks);

/* When those keys were fetched, by now_us(). */
uint64_t jwks_fetched_us(const struct jwks *jwks);

#endif /* JWT_AUTH_JWKS_H */
