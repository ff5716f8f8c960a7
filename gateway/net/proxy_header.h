/*
 * proxy_header.h - the header of the PROXY protocol, versions 1 and 2, as bytes: read and written.
 *
 * The bytes come first on a connection and say for whom it was made. Reading is strict: what two
 * readers could take for two headers is refused. No I/O, no allocation, no state: who has not
 * enough bytes calls again with more.
 */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H

#include "base/err.h"
#include "base/span.h"
#include "net/addr.h"

enum {
    PROXY_HEADER_MAX = 8192,     /* of version 2 with all that is said beside the addresses */
    PROXY_HEADER_V1_MAX = 107,   /* as the protocol has it, CRLF included */
    PROXY_HEADER_TLVS = 64,      /* beyond them a header is refused */
    PROXY_HEADER_ID_BYTES = 128, /* of a unique id, as the protocol has it */
};

/* What the client's TLS was, where the sender ended it. */
struct proxy_ssl {
    bool is_on;                                      /* the client spoke TLS */
    bool has_cert;                                   /* it showed a certificate */
    bool is_verified;                                /* and that was good */
    struct sluice_span version, cipher, common_name; /* empty: not said */
};

struct proxy_header {
    uint8_t version; /* 1 or 2 */
    /*
     * The sender speaks for itself (LOCAL, UNKNOWN, UNSPEC), or for a client whose addresses are
     * not known: the connection's own hold, and nothing else is told.
     */
    bool is_local;
    struct addr from, to; /* of the client's connection; of a unix socket the family alone */
    struct sluice_span alpn, authority, unique_id; /* empty: not said */
    struct proxy_ssl ssl;
    bool has_crc; /* reading: was there, and right. Writing: is to be there */
};

/*
 * Read the header that bytes begin with; *used is its length, and texts lie in bytes. ERR_AGAIN:
 * it is not whole; ERR_PROTOCOL: it is none, and *why says so (a static text).
 */
CHECKED enum err proxy_header_read(struct sluice_span bytes, struct proxy_header *header,
                                   size_t *used, const char **why);

/* Could bytes that begin so (few as they may be) be a header? */
bool proxy_header_may_be(struct sluice_span bytes);

/*
 * Write a header; returns its length, 0 when room is too small. Addresses of two families are
 * written as IPv6, those of unix sockets as none; version 1 says nothing but addresses.
 */
size_t proxy_header_write(char *out, size_t room, const struct proxy_header *header);

#endif /* NET_PROXY_HEADER_H */
