/*
 * transport.h - how bytes get in and out of a connection: plain TCP, or TLS over it.
 *
 * Every call is made on a non-blocking descriptor and never waits. OK means that bytes moved (at
 * least one, or those of an earlier call are through); ERR_AGAIN that the descriptor is not ready;
 * ERR_CLOSED (read, peek) that the peer has ended its side in order; ERR_RESET and others that
 * the connection is gone.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/err.h"
#include "net/conn.h"

#include <stdbool.h>
#include <stddef.h>

struct iovec;

/* What a call did; zeroed by the caller. */
struct transfer {
    size_t n; /* bytes moved */
    /* Read, OK: nothing more can be there before the descriptor becomes readable again. */
    bool drained;
    /* ERR_AGAIN: the other direction is waited for; a record must go out first. */
    bool crossed;
};

struct transport_ops {
    const char *name;
    /*
     * Before the first byte: OK when bytes may move; ERR_AGAIN after conn_yield(): it goes on in
     * the next turn. NULL: bytes may move at once.
     */
    enum err (*handshake)(struct conn *conn);
    enum err (*read)(struct conn *conn, char *into, size_t room, struct transfer *moved);
    /*
     * After ERR_AGAIN the next call begins with the same bytes (perhaps fewer at a time), and may
     * then tell more of them as moved than it was given: they had been taken before.
     */
    enum err (*write)(struct conn *conn, struct iovec *pieces, int n_pieces,
                      struct transfer *moved);
    /*
     * As read() and write(), from and into a pipe of the kernel: nobody sees the bytes. The pipe is
     * empty before and never blocks. fill(): ERR_MISSING when this is not to be had of the system,
     * or not now. NULL: not by this transport.
     */
    enum err (*fill)(struct conn *conn, int pipe, size_t most, struct transfer *moved);
    enum err (*drain)(struct conn *conn, int pipe, size_t n, struct transfer *moved);
    /* Is something to be read? OK, ERR_AGAIN or the end; nothing is consumed. */
    enum err (*peek)(struct conn *conn);
    /* Say the end of our side, before the descriptor does. NULL: nothing to say. */
    void (*shut_write)(struct conn *conn);
    /* Before the descriptor is closed; in_order: the peer may take it for the end of all. */
    void (*close)(struct conn *conn, bool in_order); /* NULL: nothing to do */
};

/* What moves the bytes of one connection: the first member of what it keeps for that. */
struct transport {
    const struct transport_ops *ops;
};

/* It keeps nothing: conn->transport is NULL. */
extern const struct transport_ops transport_plain;

static inline const struct transport_ops *transport_of(const struct conn *conn)
{
    return conn->transport ? conn->transport->ops : &transport_plain;
}

#endif /* NET_TRANSPORT_H */
