/*
 * checks.h - passwords under check on the helper threads, and the requests that wait for them.
 *
 * A check belongs to the worker, not to the request that asked: it is counted until it has ended,
 * so a client that leaves makes no room for another. Requests with the same credentials wait for
 * one check.
 *
 * Threads: one worker's own.
 */
#ifndef BASIC_AUTH_CHECKS_H
#define BASIC_AUTH_CHECKS_H

#include "cache.h"

struct checks;

/* What came of a check. Called once for each, before those who wait for it are woken. */
typedef void checks_ended_fn(const struct sluice_call *call, const struct cache_key *key,
                             enum password_answer answer);

struct checks_limits {
    size_t max_checks, max_waiting;
};

/* woken: with the call of a request that waited, and a const enum password_answer * as arg. */
struct checks *checks_new(struct checks_limits limits, checks_ended_fn *ended,
                          sluice_timer_fn *woken);
void checks_free(struct checks **checks);

struct checks_request {
    const struct cache_key *key;
    struct sluice_span password, hash; /* at most PASSWORD_MAX and USERS_HASH_MAX */
};

/* Let the request of the call wait (SLUICE_WAIT). False: too many do already. */
bool checks_wait(const struct sluice_call *call, struct checks *checks,
                 const struct checks_request *request);

size_t checks_running(const struct checks *checks);
size_t checks_waiting(const struct checks *checks);

#endif /* BASIC_AUTH_CHECKS_H */
