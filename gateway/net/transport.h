/*
 * transport.h - how bytes get in and out of a connection: plain TCP, later TLS.
 *
 * Every call is made on a non-blocking descriptor and never waits. OK means that *n
 * bytes moved (at least one); ERR_AGAIN that the descriptor is not ready; ERR_CLOSED (read only)
 * that the peer has ended its side in order; ERR_RESET and others that the connection is gone.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/err.h"

#include <stddef.h>

struct conn;
struct iovec;

struct transport {
    const char *name;
    enum err (*read)(struct conn *conn, char *into, size_t room, size_t *n);
    enum err (*write)(struct conn *conn, struct iovec *pieces, int n_pieces, size_t *n);
    void (*close)(struct conn *conn); /* before the descriptor is closed; NULL: nothing to do */
};

extern const struct transport transport_plain;

#endif /* NET_TRANSPORT_H */
