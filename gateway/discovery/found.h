/*
 * found.h - what a source has found: a whole set of endpoints, immutable once it is published.
 *
 * A source makes a set with found_new(), fills it, says which version it is, and publishes it
 * (source.h). From then on it is only read. Everything a set holds lives in its arena: copy
 * texts into it with arena_copy(&found->arena, ...).
 *
 * Threads: made by the control thread, read by all. The count is atomic.
 */
#ifndef DISCOVERY_FOUND_H
#define DISCOVERY_FOUND_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* What the source says of an endpoint; health as we see it ourselves comes on top. */
enum found_state {
    FOUND_SERVING,
    FOUND_WARNING,  /* serves, with the weight that the source gives it */
    FOUND_DRAINING, /* no new requests; those in flight finish (maintenance) */
    FOUND_FAILING,  /* the source calls it broken */
};

struct found_pair {
    struct sluice_span name, value;
};

/* One endpoint. All fields but address may stay as found_add() leaves them. */
struct found_endpoint {
    struct sluice_span address; /* "10.0.0.1:80", "[::1]:80", "unix:/path" or "host:80" */
    struct sluice_span host;    /* who is expected there (certificates); "": the host of address */
    struct sluice_span id;      /* how the source calls it; "": it does not */
    struct sluice_span zone;    /* "": unknown */
    uint32_t weight;            /* 1 by default; 0 drains, as FOUND_DRAINING does */
    uint32_t priority;          /* 0 is used first */
    enum found_state state;
    struct sluice_span *tags;
    size_t n_tags;
    struct found_pair *meta;
    size_t n_meta;
};

enum { FOUND_MAX = 100000 /* endpoints of one set */, FOUND_WEIGHT_MAX = 65535 };

struct found {
    unsigned refs; /* atomic */
    struct arena arena;
    struct found *base;         /* shared: another set that holds some of our texts; may be NULL */
    struct sluice_span version; /* "consul index 42", for people: it is not compared */
    struct found_endpoint *endpoint;
    size_t n, room;
    uint64_t as_of_wall_us; /* when this was true, microseconds since 1970 */
    uint64_t hash;          /* of the content, whatever the order; set by source_publish() */
    bool literal;           /* no address is a host name; set by source_publish() */
};

/* An empty set as of now; the caller owns a reference. */
struct found *found_new(void);

struct found *found_ref(struct found *found);
void found_unref(struct found **found);

/* One more endpoint, with weight 1; NULL beyond FOUND_MAX. Holds until the next call. */
struct found_endpoint *found_add(struct found *found);

/* Which version this is, in few words. */
void found_say_version(struct found *found, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Copy all of an endpoint's texts into found's arena and add it; NULL beyond FOUND_MAX. */
struct found_endpoint *found_add_copy(struct found *found, const struct found_endpoint *from);

/* A hash of all that matters of one endpoint, and of all of them whatever their order. */
uint64_t found_hash_endpoint(const struct found_endpoint *endpoint);
uint64_t found_hash(const struct found *found);

/* Is the address one that can be dialled as it is? False for a host name. */
bool found_is_literal(struct sluice_span address);

/* "serving" for FOUND_SERVING. */
const char *found_state_name(enum found_state state);

/* -- for sources -------------------------------------------------------- */

/*
 * NULL when text can be an endpoint's address, else what is wrong, a static text.
 */
const char *found_check_address(struct sluice_span text);

/*
 * Cut "host:80" into its host and port. False when it is a literal address, or none at all.
 */
bool found_split_name(struct sluice_span address, struct sluice_span *host, uint16_t *port);

#endif /* DISCOVERY_FOUND_H */
