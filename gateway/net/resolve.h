/*
 * resolve.h - names to addresses, waiting for the answer: for the control thread at configuration
 * time only.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/addr.h"

/*
 * "host:port", "1.2.3.4:80", "[::1]:80" or "unix:/path" to one or more addresses in the arena,
 * without repeats, in a fixed order. *why is a static text when it fails. ERR_PROTOCOL:
 * malformed; ERR_MISSING: the name has no address.
 */
CHECKED enum err resolve(struct sluice_span text, struct arena *arena, struct addr **addrs,
                         size_t *n, const char **why);

#endif /* NET_RESOLVE_H */
