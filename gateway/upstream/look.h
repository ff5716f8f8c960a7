/*
 * look.h - what there is to be seen of the connections to endpoints.
 *
 * Idle and shared connections are found here, by endpoint; one that a lease has for itself is found
 * by who holds the lease.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_LOOK_H
#define UPSTREAM_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct endpoint;
struct lease;
struct tenancy;
struct upstreams;

enum peer_protocol { PEER_UNKNOWN, PEER_HTTP_1, PEER_HTTP_2, PEER_TUNNEL };

/* Borrowed for as long as the turn. */
struct peer_look {
    const struct conn *conn;
    const struct endpoint *endpoint;
    enum peer_protocol protocol;
    const char *state; /* static: "connecting", "idle", "active", "draining" */
    bool is_idle;
    bool is_shared; /* HTTP/2; then: */
    unsigned streams, waiting;
    uint32_t room;     /* for so many more streams */
    uint64_t requests; /* so far */
};

/* The connection that a held lease has for itself; false: it shares one, or has none. */
bool lease_look(const struct lease *lease, struct peer_look *look);

void tenancy_look(const struct tenancy *tenancy, struct peer_look *look);

/* A walk over idle and shared connections, endpoint by endpoint. Zero bytes at first. */
struct peer_walk {
    size_t upstream, endpoint; /* to be looked at next, by their place now */
};

typedef void peer_look_fn(void *arg, const struct peer_look *look);

/*
 * Look at the connections of one endpoint more; false: that was the last one. Endpoints that come
 * or go between two calls may be left out, or seen twice.
 */
bool peer_walk_on(struct peer_walk *walk, const struct upstreams *upstreams, peer_look_fn *each,
                  void *arg);

#endif /* UPSTREAM_LOOK_H */
