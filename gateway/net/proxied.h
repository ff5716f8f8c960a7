/*
 * proxied.h - a connection that begins with a PROXY header: the header is awaited, taken out of the
 * stream, and the transport that was set before goes on with what follows.
 *
 * To the owner this is a part of the handshake (conn_set_transport()): on_drained tells that the
 * header was read and that the transport's own handshake is over, on_failed that one of them
 * was not.
 */
#ifndef NET_PROXIED_H
#define NET_PROXIED_H

#include "net/addr.h"
#include "net/proxy_header.h"
#include "net/transport.h"

enum proxied_state {
    PROXIED_AWAITED,
    PROXIED_READ,  /* a header was there */
    PROXIED_NONE,  /* there was none, which is allowed */
    PROXIED_WRONG, /* there was none, or it was malformed: why says how */
};

/* What a connection's header said. Owned by the connection's owner; outlives the connection. */
struct proxied {
    enum proxied_state state;
    uint8_t version;            /* 1 or 2; 0: none was read */
    bool is_optional;           /* without a header it is a connection like any */
    bool is_tls;                /* the client spoke TLS with who sent the header */
    struct addr by;             /* who sent it: the connection's own peer */
    struct addr from, to;       /* family 0: the sender speaks for itself */
    char *unique_id;            /* owned; NULL: not said */
    const char *why;            /* static */
    uint64_t then_ms;           /* the connection's alarm once the header is there; 0: untouched */
    struct transport transport; /* while the header is awaited */
    struct transport *next;     /* under the header */
};

/* NULL when out of memory. by is copied. */
struct proxied *proxied_new(const struct addr *by, bool is_optional);
void proxied_free(struct proxied **proxied);

/* Await a header on a connection before its transport gets the first byte. */
void proxied_await(struct conn *conn, struct proxied *proxied, uint64_t then_ms);

#endif /* NET_PROXIED_H */
