/*
 * attribute.h - the names of attributes and their numbers. Private to chain/.
 *
 * The gateway's own have fixed numbers (ops.h); others get theirs when a configuration first
 * names them, and mean something within that configuration only.
 */
#ifndef CHAIN_ATTRIBUTE_H
#define CHAIN_ATTRIBUTE_H

#include "base/arena.h"
#include "chain/ops.h"

enum { ATTRIBUTES_MAX = 256 /* of one configuration, besides the gateway's own */ };

struct attributes {
    struct arena *arena; /* borrowed; the names live there */
    struct sluice_span name[ATTRIBUTES_MAX];
    unsigned n;
};

/* The number of a name, made when it is new. 0: malformed, or too many. */
uint32_t attribute_number(struct attributes *attributes, struct sluice_span name);

/* The number of a name that somebody has named; 0: nobody has. */
uint32_t attribute_find(const struct attributes *attributes, struct sluice_span name);

#endif /* CHAIN_ATTRIBUTE_H */
