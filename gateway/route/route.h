/*
 * route.h - one immutable route, and what it does to a request and its response.
 *
 * Made at configuration time from the tables in route_config.c; run time only follows.
 * Everything lives in the snapshot's arena and is shared by all workers.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "config/shape.h"
#include "http/message.h"
#include "policy/hedge.h"
#include "policy/retry.h"
#include "policy/subset.h"

struct route_regex; /* a compiled PCRE2 pattern, private to route/ */

/* Per worker: room for matching (PCRE2 match data and limits). */
struct route_scratch;
struct route_scratch *route_scratch_new(void);
void route_scratch_free(struct route_scratch **scratch);

enum route_path_kind { ROUTE_PATH_ANY, ROUTE_PATH_EXACT, ROUTE_PATH_PREFIX, ROUTE_PATH_REGEX };
enum route_value_kind {
    ROUTE_VALUE_EXACT,
    ROUTE_VALUE_PREFIX,
    ROUTE_VALUE_REGEX,
    ROUTE_VALUE_PRESENT,
    ROUTE_VALUE_ABSENT
};

/* match.fields and match.query: one condition on a named value. */
struct route_value {
    struct sluice_span name;
    enum field_id id; /* of a field, FIELD_OTHER when unknown or a query parameter */
    enum route_value_kind kind;
    struct sluice_span text;
    struct route_regex *regex;
};

struct route_match {
    struct sluice_span *hosts; /* lower case; "*.example.com" is kept with its star */
    size_t n_hosts;
    enum route_path_kind path_kind;
    struct sluice_span path;
    struct route_regex *path_regex;
    uint32_t methods; /* bit 1 << enum method; 0: any */
    struct route_value *fields;
    size_t n_fields;
    struct route_value *query;
    size_t n_query;
    uint64_t listeners; /* bit per listener index; ~0: all (at most 64 listeners) */
};

enum route_action { ROUTE_FORWARD, ROUTE_REDIRECT, ROUTE_RESPOND, ROUTE_ECHO };

struct route_target {
    struct sluice_span upstream;
    struct mark at;
    uint64_t weight;
    unsigned index; /* of the upstream in the snapshot, by the names given to route_table_new() */
    const struct retry_rule *retry; /* in force: set by the snapshot, NULL before */
    const struct hedge_rule *hedge; /* the same */
    struct subset subset;           /* of the upstream's endpoints; not set: all */
    unsigned selection;             /* number of the subset within the table, from 1 on; 0: none */
};

enum route_edit_kind { ROUTE_EDIT_SET, ROUTE_EDIT_ADD, ROUTE_EDIT_REMOVE };

/* One change to a list of fields, in order: removes, sets, adds. */
struct route_edit {
    enum route_edit_kind kind;
    struct sluice_span name, value;
};

struct route_edits {
    struct route_edit *edit;
    size_t n;
};

/* 0 in a time or limit of a route means: not written here, the upstream's or listener's holds. */
struct route_times {
    uint64_t response_ms, idle_ms, total_ms, tunnel_ms, tunnel_max_ms;
};

struct route {
    struct sluice_span name;
    struct mark at;
    unsigned index; /* in the table, in the order written */
    struct route_match match;
    enum route_action action;
    struct route_target *targets; /* ROUTE_FORWARD: one, or the split */
    size_t n_targets;
    uint64_t weight_sum;
    struct route_respond *respond;   /* ROUTE_RESPOND */
    struct route_redirect *redirect; /* ROUTE_REDIRECT */
    struct route_rewrite *rewrite;   /* NULL: none */
    struct sluice_span host;         /* rewrite.host; empty: the upstream's rule holds */
    struct route_edits request_edits, response_edits;
    struct route_times times;
    const struct retry_rule *retry; /* what of the upstream's rule is otherwise here */
    const struct hedge_rule *hedge; /* in place of the upstream's, if it is written */
    struct sluice_span *upgrades;   /* protocols that a client may switch to */
    size_t n_upgrades;
    uint64_t body_bytes;                   /* limits.body; 0: the listener's holds */
    const struct route_times *bound_times; /* where the two above were bound, for origins_find() */
    const uint64_t *bound_body;
    const struct tree *node;    /* as it was written */
    const struct tree *plugins; /* the same of its plugins; NULL: none */
};

struct route_respond {
    uint64_t status;
    struct sluice_span body;
    struct sluice_span content_type;
    struct route_edits fields;
};

/* -- what a route does -------------------------------------------------- */

/* Choose one of the targets by weight; random is any 64-bit random number. */
const struct route_target *route_pick(const struct route *route, uint64_t random);

/*
 * The target to send upstream: rewritten path, '?' and query. Returns request->target itself
 * when nothing changed (origin-form whose path was already normal), else a span in the arena.
 * ERR_MEMORY, ERR_LIMIT when a regex gave up, or ERR_PROTOCOL when it made what is no path.
 */
CHECKED enum err route_rewrite_target(const struct route *route, const struct request *request,
                                      struct route_scratch *scratch, struct arena *arena,
                                      struct sluice_span *target);

/*
 * The value of Location for a redirect; scheme is the listener's ("http"). Never lets request
 * bytes add a line or leave the path.
 */
CHECKED enum err route_location(const struct route *route, const struct request *request,
                                struct sluice_span scheme, struct arena *arena,
                                struct sluice_span *location);

/* A route that matches nothing by itself and redirects to the same place over HTTPS, by 308. */
const struct route *route_to_https(struct arena *arena, unsigned port);
unsigned route_redirect_status(const struct route *route);

/* Apply edits; values and names are borrowed from the snapshot. */
CHECKED enum err route_edit_fields(const struct route_edits *edits, struct fields *fields);

#endif /* ROUTE_ROUTE_H */
