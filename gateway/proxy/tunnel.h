/*
 * tunnel.h - two connections that have become one, when nobody needs the exchange any more.
 *
 * An upgraded exchange whose two legs are connections of their own, and whose plugins have nothing
 * left to say, is let go: what stays for the days that it may last are the two connections and
 * this record, made of what its counters, its times and its access log line still need. It refers
 * to no configuration, so a reload leaves nothing behind for it. Bytes are buffered only while one
 * side does not take what the other has sent.
 *
 *   OPEN > HALF (one side has ended) > over
 *      \_______\____________________> cut
 *
 *   from   to    by
 *   OPEN   HALF  end_side, when a side has read the end in order: the other one is shut for writing
 *   HALF   over  finish_if_over, when the other side has ended too and all has been taken
 *   any    cut   cut: an error, the idle time or the age is over, its endpoint has gone, the end of
 *                the process; both sides see a reset
 *
 * Owns:    the upstream connection (a tenancy), the packed log line.
 * Borrows: the downstream connection: its session ends it, and itself.
 * Threads: the worker's.
 */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "base/span.h"
#include "proxy/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct endpoint;
struct exchange;
struct lease;
struct loop;
struct tenancy;
struct tunnel;

/*
 * Take over the connections of an exchange in EX_TUNNEL; true when it is not needed any more and
 * its owner may forget it, without an end: that is the tunnel's now. False: it goes on as it is.
 */
bool tunnel_begin(struct exchange *ex);

/*
 * For legs that hand their connection over: the client's, which stays its session's; the
 * upstream's, with its lease. lost: it did not take all that was sent.
 */
void tunnel_take_client(struct tunnel *tunnel, struct conn *conn);
void tunnel_take_upstream(struct tunnel *tunnel, struct lease *lease, bool lost);

/* End it now: both sides see a reset. */
void tunnel_cut(struct tunnel *tunnel, enum reason reason);

/* How long it may be quiet from now on, within what its age leaves (ends_us). 0: no limit. */
uint64_t tunnel_time_left_ms(struct loop *loop, uint64_t idle_ms, uint64_t ends_us);

/* For who looks at it. */
struct tunnel_look {
    struct sluice_span route;
    const struct endpoint *endpoint; /* borrowed */
    struct tenancy *tenancy;         /* borrowed: the upstream's connection */
    uint64_t begun_us, bytes_in, bytes_out;
};
void tunnel_look(struct tunnel *tunnel, struct tunnel_look *look);

/* What a worker's slab must hold. */
size_t tunnel_bytes(void);

#endif /* PROXY_TUNNEL_H */
