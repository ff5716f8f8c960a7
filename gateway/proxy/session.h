/*
 * session.h - one downstream connection, by whatever version of HTTP it speaks.
 *
 *   SHAKING > IDLE > HEAD > EXCHANGE > IDLE ...        HTTP/1
 *         \    \______\_______\____> LINGER > closed
 *          \> MULTIPLEX _________________/            HTTP/2
 *
 *   from       to         by
 *   SHAKING    IDLE       session.c, when PROXY header and TLS handshake are over, or not asked for
 *   SHAKING    MULTIPLEX  session.c, when ALPN says h2, or nothing else is spoken here
 *   SHAKING    LINGER     refuse_plain, when the client speaks HTTP without TLS
 *   IDLE       HEAD       session_h1.c, with the first bytes of a request
 *   HEAD       MULTIPLEX  session_h1.c, when they are the preface of HTTP/2
 *   HEAD       EXCHANGE   session_h1.c, once the head is whole (or refused: the exchange answers)
 *   EXCHANGE   IDLE       session_h1.c, when the connection is kept
 *   EXCHANGE   TUNNEL     hand_over: the exchange is over, the connection a tunnel's (tunnel.h)
 *   EXCHANGE   LINGER     session_h1.c, when it is not and the client may still be sending
 *   MULTIPLEX  LINGER     session_h2.c, after GOAWAY and the last stream, or for what the client
 *   did any        closed     conn_close
 *
 * A session never looks at what a request means: it hands heads and content to its exchanges and
 * sends what it is given.
 *
 * Owns:    its connection, and the exchanges in progress.
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
struct worker;

/* Serve fd, which came in by port from peer. The session frees itself when it ends. */
void session_open(struct port *port, int fd, const struct addr *peer);

/*
 * For the worker's list of all sessions: close this one when it has been idle for quiet_us; with
 * 0, in any case.
 */
void session_sweep(struct list *link, uint64_t now_us, uint64_t quiet_us);

/*
 * A walk over all sessions of a worker, oldest first, that may take several turns: those that end
 * meanwhile are left out, those that begin are met.
 */
struct session_walk {
    struct list link;  /* of worker->walks */
    struct list *next; /* of worker->all: to be met next */
};

void session_walk_begin(struct session_walk *walk, struct worker *worker);

/* The link of the next one; NULL: that was all. */
struct list *session_walk_next(struct session_walk *walk, struct worker *worker);

/* What the access log and pages call it; greater than that of any older one of its worker. */
uint64_t session_id(struct list *link);

/* Safe on one that never began, whose bytes are zero. */
void session_walk_end(struct session_walk *walk);

enum session_close {
    SESSION_CLOSE_NOW,    /* it is closed */
    SESSION_CLOSE_SOON,   /* when what is under way is over */
    SESSION_CLOSE_TUNNEL, /* nothing was done: only the two who talk can end it in order */
};

/*
 * For somebody who wants it gone. Without now, what is under way ends first: of HTTP/2 by GOAWAY,
 * of HTTP/1.1 by Connection: close in its response. With now, it is cut.
 */
enum session_close session_close(struct list *link, bool now);

/* -- for a tunnel that drives a session's connection -------------------------- */

struct tunnel *session_tunnel(struct conn *conn);
struct worker *session_worker(struct conn *conn);

/* Where requests on it come from: no leg is set. */
void session_tell(struct conn *conn, struct exchange_from *from);

/* Its conn_ops.on_closed: frees the session. */
void session_on_closed(struct conn *conn);

/* -- for the worker ------------------------------------------------------------ */

/* What a worker's slab must hold. */
size_t session_bytes(void);

#endif /* PROXY_SESSION_H */
