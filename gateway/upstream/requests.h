/*
 * requests.h - caps on requests under way: to an upstream, and to each of its endpoints.
 *
 * Counted over all workers in shared atomics, only while there is a cap: added, then compared,
 * and taken back when that was too many. Who gets no slot waits in the upstream's queue.
 *
 * Threads: any worker.
 */
#ifndef UPSTREAM_REQUESTS_H
#define UPSTREAM_REQUESTS_H

#include <stdbool.h>

struct endpoint;
struct lease;
struct upstream;

/* Is there a slot at the endpoint? */
bool requests_has_room(const struct endpoint *endpoint);

/* Take what the caps ask for; false when one is reached. */
bool requests_take(struct lease *lease, const struct endpoint *endpoint);

/* Give back what the lease took. */
void requests_give(struct lease *lease, const struct endpoint *endpoint);

/* The same of a request that is over: another worker that waits for a slot is woken. */
void requests_end(struct lease *lease, const struct endpoint *endpoint);

/* Does this worker wait for a slot? Say so before looking once more whether there is one. */
void requests_say_waiting(const struct upstream *upstream, bool waiting);

#endif /* UPSTREAM_REQUESTS_H */
