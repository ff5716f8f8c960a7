/*
 * mux.h - connections to an endpoint that several leases share (HTTP/2), and those of which it is
 * not known yet whether they can be; private to upstream/.
 *
 *   DIALLING > OPEN > DRAINING > ended
 *       \________________________/  the dial fails, or turns out to speak HTTP/1
 *
 *   from        to         by
 *   DIALLING    OPEN       open_up, when HTTP/2 is agreed on, or known
 *   DIALLING    ended      hand_over, when it is HTTP/1: the connection is the first waiter's;
 *                          fail_dial
 *   OPEN        DRAINING   mux_drain_all, on_goaway, age, number of requests: no new streams
 *   OPEN        ended      idle for long, or an idle one is in the way
 *   DRAINING    ended      with its last lease
 *   any         ended      lose, when the connection is gone
 *
 * A connection that is being dialled is shared by all who need one of the endpoint: they wait in
 * line for it, as many as it can be expected to take. Where ALPN decides and has not yet, the
 * first dial is waited for by all.
 *
 * Owns:    its connection, its HTTP/2 machine.
 * Threads: the worker's.
 */
#ifndef UPSTREAM_MUX_H
#define UPSTREAM_MUX_H

#include "base/err.h"

#include <stdbool.h>

struct endpoint;
struct lease;

/*
 * A stream of a connection that stands, an idle HTTP/1 connection where that is spoken too, or a
 * wait for one that is being dialled (lease->dialling). As endpoint_lease().
 */
CHECKED enum err mux_lease(struct endpoint *endpoint, struct lease *lease);

/* A lease with lease->mux ends; its stream, if there is still one, is reset. */
void mux_leave(struct lease *lease);

/* Is there room on a connection that stands or is being dialled? */
bool mux_find_room(const struct endpoint *endpoint);

/* No new streams on any of them; those without streams end. May free a retired endpoint. */
void mux_drain_all(struct endpoint *endpoint);

/* End one that nobody uses; false when there is none. */
bool mux_drop_idle(struct endpoint *endpoint);

/* Another worker waits at the cap: let one of ours end when its streams have. */
void mux_give_way(struct endpoint *endpoint);

#endif /* UPSTREAM_MUX_H */
