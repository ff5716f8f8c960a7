/*
 * match_host.h - from the request's host to the paths of that host. Private to route/.
 *
 * A hash table, seeded at random, with exact names and wildcards ("*.example.com" under
 * ".example.com").
 */
#ifndef ROUTE_MATCH_HOST_H
#define ROUTE_MATCH_HOST_H

#include "route/match_path.h"

/* A DNS name has at most 253 bytes; a longer host fits only routes without hosts. */
enum { HOST_BYTES = 255 };

struct host_entry {
    struct sluice_span key; /* lower case, without brackets; a wildcard's begins with a dot */
    uint64_t hash;
    struct paths paths;
};

struct hosts {
    struct host_entry *entry; /* n, in the arena, in the order added */
    uint32_t *slot;           /* position in entry + 1; 0: free */
    size_t n, mask;
    size_t wildcard_max; /* bytes of the longest wildcard's key; 0: there is none */
    uint64_t seed;
};

/* Make room for at most max entries. */
void hosts_init(struct hosts *hosts, size_t max, struct arena *arena);

/*
 * The paths of a host as the file has it ("api.example.com", "*.example.com", "[::1]"), made
 * when there are none.
 */
struct paths *hosts_add(struct hosts *hosts, struct sluice_span host);

/*
 * Host of a request in lower case without port and brackets, in bytes. Empty when there is
 * none or it is too long.
 */
struct sluice_span host_of(const struct request *request, char bytes[HOST_BYTES]);

/*
 * The paths that hold for a host, best first: start with *from = 0, call until NULL. The first
 * is the exact name's, then come wildcards, longer ones first.
 */
const struct paths *hosts_next(const struct hosts *hosts, struct sluice_span host, size_t *from);

/*
 * How well a pattern fits a host: 0 not at all, longer wildcards more, the exact name most.
 * "*" gives 1.
 */
size_t host_rank(struct sluice_span pattern, struct sluice_span host);

#endif /* ROUTE_MATCH_HOST_H */
