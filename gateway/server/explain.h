/*
 * explain.h - what would happen to a request, and why (private to server).
 *
 * Filled by explain_request(), printed by the two explain_print functions.
 */
#ifndef SERVER_EXPLAIN_H
#define SERVER_EXPLAIN_H

#include "http/message.h"
#include "net/tls.h"
#include "proxy/snapshot.h"

struct chain;

enum { EXPLAIN_NEAR = 10, EXPLAIN_LISTENER_VALUES = 8, EXPLAIN_UPSTREAM_VALUES = 18 };

/* A route that did not match. */
struct explain_near {
    const struct route *route;
    struct sluice_span why;
};

enum explain_unit { EXPLAIN_COUNT, EXPLAIN_BYTES, EXPLAIN_MS };

/* A limit or timeout in force. */
struct explain_value {
    const char *name; /* "response timeout" */
    enum explain_unit unit;
    uint64_t value;
    const char *zero;         /* what 0 means: "no limit"; NULL: it is never 0 */
    const char *layer;        /* "listener", "upstream" or "route" */
    struct sluice_span owner; /* its name */
    struct mark at;           /* line 0: a default */
};

struct explanation {
    const struct snapshot *snapshot; /* borrowed, as notes */
    const struct notes *notes;       /* names the files */
    struct arena arena;
    struct route_scratch *scratch;
    unsigned listener;
    struct request request;
    enum route_answer answer;
    const struct route *route; /* NULL: none */
    uint32_t allowed;
    struct sluice_span target;   /* to the upstream, when forwarded */
    struct sluice_span location; /* when redirected */
    const char *failure;         /* why target or location could not be made, or NULL */
    struct explain_near near[EXPLAIN_NEAR];
    size_t n_near, n_more;
};

/* What the command line says of the request. */
struct explain_asked {
    const char *method, *url;
    const char *const *field; /* "Name: value" */
    size_t n_fields;
    const char *listener; /* NULL: the first */
};

/*
 * Fill *explanation; ends with explain_fini() in either case. ERR_PROTOCOL when this is no request
 * that the gateway takes: *why then says why, in the arena.
 */
CHECKED enum err explain_request(struct explanation *it, const struct snapshot *snapshot,
                                 const struct notes *notes, const struct explain_asked *asked,
                                 const char **why);
void explain_fini(struct explanation *it);

void explain_print(const struct explanation *it, struct text *out);
void explain_print_json(const struct explanation *it, struct text *out);

/* -- for the printers -------------------------------------------------------------- */

const struct listener_conf *explain_listener(const struct explanation *it);

/* One of the protocols that its listener speaks, the best first; NULL after the last. Static. */
const char *explain_protocol(const struct explanation *it, size_t i);

/* What a client gets who asks for this host; false: none is for it. Nothing without TLS. */
bool explain_certificate(const struct explanation *it, struct tls_certificate_facts *facts);
const struct snapshot_upstream *explain_upstream(const struct explanation *it,
                                                 const struct route_target *target);

/* The plugins that the request passes before an upstream is chosen, and those of a target. */
const struct chain *explain_front(const struct explanation *it);
const struct chain *explain_back(const struct explanation *it, const struct route_target *target);

/* The values in force that belong to the listener, or to one target. Returns how many. */
size_t explain_listener_values(const struct explanation *it,
                               struct explain_value values[EXPLAIN_LISTENER_VALUES]);
size_t explain_upstream_values(const struct explanation *it, const struct route_target *target,
                               struct explain_value values[EXPLAIN_UPSTREAM_VALUES]);

/* The Host that this target sees; empty: the endpoint's own address. */
struct sluice_span explain_host(const struct explanation *it, const struct route_target *target);

/* "***" instead of a value that is not to be shown; written: the map of the edit, or NULL. */
struct sluice_span explain_edit_value(const struct route_edit *edit, const struct tree *written);

/* "7s", "16KiB", "100". */
void explain_add_value(const struct explain_value *value, struct text *out);

/* Is this request sent again when it may have been processed? Only as often as "retries" says. */
bool explain_repeats(const struct explanation *it, const struct route_target *target);

#endif /* SERVER_EXPLAIN_H */
