/*
 * session.h - one downstream connection that speaks HTTP/1.1.
 *
 *   SHAKING > IDLE > HEAD > EXCHANGE > IDLE ...
 *         \______\______\_______\______> LINGER > closed
 *
 *   from       to         by
 *   SHAKING    IDLE       on_shaken, when the TLS handshake is over; without TLS it begins here
 *   SHAKING    LINGER     refuse_plain, when the client speaks HTTP without TLS
 *   IDLE       HEAD       take_head, with the first bytes of a request
 *   HEAD       EXCHANGE   begin, once the head is whole (or refused: the exchange answers)
 *   EXCHANGE   IDLE       leg_end, when the connection is kept
 *   EXCHANGE   TUNNEL     hand_over: the exchange is over, the connection a tunnel's (tunnel.h)
 *   EXCHANGE   LINGER     leg_end, when it is not and the client may still be sending
 *   any        closed     conn_close
 *
 * A session never looks at what a request means: it hands heads and content to its
 * exchange and sends what it is given. While an exchange has its whole request,
 * pipelined bytes wait unread; when it becomes a tunnel, they and all that follow are content.
 *
 * Owns:    its connection, and the exchange in progress.
 * Threads: the worker's.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct conn;
struct exchange_from;
struct port;
struct tunnel;

/* Serve fd, which came in by port from peer. The session frees itself when it ends. */
void session_open(struct port *port, int fd, const struct addr *peer);

/*
 * For the worker's list of all sessions: close this one when it has been idle for quiet_us; with
 * 0, in any case.
 */
void session_sweep(struct list *link, uint64_t now_us, uint64_t quiet_us);

/* -- for a tunnel that drives a session's connection -------------------------- */

struct tunnel *session_tunnel(struct conn *conn);

/* Where requests on it come from: no leg is set. */
void session_tell(struct conn *conn, struct exchange_from *from);

/* Its conn_ops.on_closed: frees the session. */
void session_on_closed(struct conn *conn);

/* -- for the worker ------------------------------------------------------------ */

/* What a worker's slab must hold. */
size_t session_bytes(void);

#endif /* PROXY_SESSION_H */
