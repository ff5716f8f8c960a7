/*
 * table.h - which route serves this request: host, then path, then the finer conditions.
 *
 * Precedence does not depend on the order of writing: exact host, then longer
 * wildcard, then no host; exact path, longest prefix, regex (longer pattern first),
 * none; with methods before without; more fields; more query parameters; then the
 * order written. When no route of a host fits, the next wider host is asked.
 *
 * Cost: a hash look-up for the host and one walk down the path (radix tree), whatever the number
 * of routes; regexes are tried one by one.
 */
#ifndef ROUTE_TABLE_H
#define ROUTE_TABLE_H

#include "route/route.h"

struct route_table;

/* Names that routes may refer to, in index order. */
struct route_names {
    const struct sluice_span *listeners;
    size_t n_listeners;
    const struct sluice_span *upstreams;
    size_t n_upstreams;
    const struct mark *upstream_marks; /* where each was written, for warnings; may be NULL */
    bool *is_used; /* by upstream: route_table_new() sets those that routes name; may be NULL */
};

/* The "routes:" list, to be bound before route_table_new(): a SHAPE_LIST. */
extern const struct shape route_list_shape;

/* The plugins of element i of a bound list, as written; NULL: none. Of a wrong route, too. */
const struct tree *route_list_plugins(const struct items *bound, size_t i);

/*
 * Make a table of bound routes in the arena. What they were bound to (bind.arena) must live as
 * long as the table; compiled patterns are released with it. A route by itself was checked
 * when it was bound; here undefined names and names given twice are errors, unreachable routes
 * warnings, in notes. NULL when notes has an error; routes that were wrong by
 * themselves (and noted) are passed over, so that the others' names are checked all the same.
 */
struct route_table *route_table_new(const struct items *bound, const struct route_names *names,
                                    struct arena *arena, struct notes *notes);

/*
 * Warn of upstreams that nobody uses, by names->is_used: routes are not all who may name one.
 */
void route_warn_unused(const struct route_names *names, struct notes *notes);

size_t route_table_count(const struct route_table *table);
const struct route *route_table_get(const struct route_table *table, size_t index);

/* Targets with a subset: the highest of target->selection. */
unsigned route_table_selections(const struct route_table *table);

enum route_answer {
    ROUTE_FOUND,
    ROUTE_NONE,   /* no route fits */
    ROUTE_METHOD, /* one would, but for its methods: see *allowed */
};

/*
 * Find the route for a normalised request that came in by a listener. *allowed gets the bits
 * of the methods that would fit, for ROUTE_METHOD. host compares without case, port and
 * trailing dot.
 */
enum route_answer route_find(const struct route_table *table, unsigned listener,
                             const struct request *request, struct route_scratch *scratch,
                             const struct route **route, uint32_t *allowed);

/* "GET, HEAD, POST" for method bits, for Allow. */
void route_methods_print(uint32_t methods, struct text *out);

/*
 * Why each route does or does not match, best candidates first: calls back once per route in
 * order of precedence with the reason it lost, NULL for the winner ("path /orders/ does not
 * match", "host ...", "method ...", "field x-version is '1', wants '2'", "a more specific
 * route matched"). For `sluice explain` and the admin pages.
 */
typedef void route_explain_fn(void *arg, const struct route *route, const char *why_not);
void route_explain(const struct route_table *table, unsigned listener,
                   const struct request *request, struct route_scratch *scratch,
                   route_explain_fn *each, void *arg);

#endif /* ROUTE_TABLE_H */
