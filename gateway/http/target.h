/*
 * target.h - request targets and authorities: one normal form for all later steps (RFC 3986,
 * RFC 9110 4).
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/arena.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum target_slashes { TARGET_MERGE_SLASHES, TARGET_KEEP_SLASHES };

/*
 * The normal form of an absolute path: percent-encoded unreserved characters decoded, the other
 * triplets in upper case (never decoded: %2F stays what it is), dot-segments removed (also encoded
 * ones: %2e), "//" merged if asked (before ".." takes a segment back: "/a//../b" is "/b").
 * A path that is already normal is returned as it is, without copying. ERR_PROTOCOL for a
 * malformed triplet, an encoded NUL (%00), a byte that may not stand in a path unencoded, or a
 * dot-segment that climbs above the root. ERR_MEMORY when the arena is full.
 */
CHECKED enum err target_normalise(struct sluice_span path, enum target_slashes slashes,
                                  struct arena *arena, struct sluice_span *normal);

/* Check a query: pchar, '/', '?' and well-formed triplets only; of what browsers leave unencoded,
 * [ ] | ^ ` { } are let through, \ " < > are refused. */
bool target_query_is_valid(struct sluice_span query);

/* host[:port], as in Host: a registered name, IPv4 or [IPv6] (brackets stay); no userinfo. port 0:
 * none given. ERR_PROTOCOL when malformed; an empty text gives an empty host. A trailing dot of the
 * name is left out of *host. A name has letters, digits, '-', '.', '_', '~' and no empty label. */
CHECKED enum err target_authority(struct sluice_span text, struct sluice_span *host,
                                  uint16_t *port);

/* Value of the first query parameter called name (both percent-decoded with '+' as space, into
 * scratch of room bytes); false when absent or too long to decode. Without '=' the value is
 * empty. */
bool target_query_find(struct sluice_span query, struct sluice_span name, char *scratch,
                       size_t room, struct sluice_span *value);

#endif /* HTTP_TARGET_H */
