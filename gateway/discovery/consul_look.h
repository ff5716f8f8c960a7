/*
 * consul_look.h - a list of checks as what it says of services, to be compared with a later one.
 *
 * Of each service that somebody wants there is a sum over the indexes of its checks and over
 * those of the nodes it runs on: when the sum is another, something about it has changed. No I/O.
 */
#ifndef DISCOVERY_CONSUL_LOOK_H
#define DISCOVERY_CONSUL_LOOK_H

#include "base/span.h"

struct consul_look;

/* Is this service one to look at? Asked while the list is told, once for each of its checks. */
typedef bool consul_look_wants_fn(void *arg, struct sluice_span service);

/* Names a service; the span lives for the length of the call. */
typedef void consul_look_tell_fn(void *arg, struct sluice_span service);

struct consul_look *consul_look_new(consul_look_wants_fn *wants, void *arg);
void consul_look_free(struct consul_look **look);

/* The next piece of the list. */
void consul_look_add(struct consul_look *look, struct sluice_span piece);

/* All was told; ERR_PROTOCOL when it is no whole list. Only then may it be compared. */
CHECKED enum err consul_look_end(struct consul_look *look);

/* Has this service a check of its own in the list? */
bool consul_look_has(const struct consul_look *look, struct sluice_span service);

/* Tell the services whose sums differ, and those that are in one of the lists alone. */
void consul_look_compare(const struct consul_look *before, const struct consul_look *after,
                         consul_look_tell_fn *tell, void *arg);

/* Does any check of a node itself differ? */
bool consul_look_nodes_differ(const struct consul_look *before, const struct consul_look *after);

/*
 * Tell the services that run, by the list in where, on nodes whose own checks differ; a service
 * once for each such node.
 */
void consul_look_compare_nodes(const struct consul_look *before, const struct consul_look *after,
                               const struct consul_look *where, consul_look_tell_fn *tell,
                               void *arg);

#endif /* DISCOVERY_CONSUL_LOOK_H */
