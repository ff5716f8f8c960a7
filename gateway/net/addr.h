/*
 * addr.h - socket addresses as values and as text.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include "base/arena.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

/* An address of one of three families; copyable. */
struct addr {
    uint16_t family; /* AF_INET, AF_INET6 or AF_UNIX; 0: none */
    uint16_t port;   /* host order */
    uint32_t scope;  /* IPv6 */
    union {
        uint8_t ip[16];   /* IPv4: the first four */
        const char *path; /* AF_UNIX; borrowed, from who parsed it; NULL: it has no name */
    };
};

/* A network: all addresses that share the first bits. */
struct addr_range {
    struct addr base;
    unsigned bits;
};

enum { ADDR_TEXT = 64 }; /* for an IP address with port; a unix path may be longer and is cut */

/*
 * "127.0.0.1:80", "[::1]:80", "unix:/path" (copied into the arena). The host must be an address,
 * not a name. ERR_PROTOCOL when malformed.
 */
CHECKED enum err addr_parse(struct sluice_span text, struct arena *arena, struct addr *addr);

/* "10.0.0.0/8", "::1" and the like. */
CHECKED enum err addr_range_parse(struct sluice_span text, struct addr_range *range);
bool addr_range_has(const struct addr_range *range, const struct addr *addr);

/* With port as addr_parse() reads it; returns the length, at most room - 1; NUL-terminated. */
size_t addr_format(const struct addr *addr, char *out, size_t room);

/* Of an AF_UNIX address, else NULL. */
const char *addr_unix_path(const struct addr *addr);

/* The IP address alone; "unix" for a unix socket. */
size_t addr_format_ip(const struct addr *addr, char *out, size_t room);

bool addr_equal(const struct addr *a, const struct addr *b);

/* Between struct addr and what the kernel takes; storage must hold a sockaddr_storage. */
unsigned addr_to_sockaddr(const struct addr *addr, struct sockaddr *storage);
void addr_from_sockaddr(const struct sockaddr *sockaddr, struct addr *addr);

#endif /* NET_ADDR_H */
