/*
 * match.h - the conditions of a route: tested, ordered and compared. Private to route/.
 */
#ifndef ROUTE_MATCH_H
#define ROUTE_MATCH_H

#include "base/arena.h"
#include "route/route.h"

/* A look-up on its way. */
struct search {
    const struct request *request; /* borrowed, as the scratch */
    struct route_scratch *scratch;
    uint64_t listener; /* its bit; 0: beyond those that routes can name */
    uint32_t method;   /* its bit; 0: METHOD_OTHER */
    bool skipped;      /* out: a route was left out for its methods alone so far */
    bool collects;     /* find nothing, gather the methods that would fit */
    uint32_t allowed;  /* out, when it collects */
};

/* What a look-up touches of a route before it is sure, in one cache line. */
struct rule {
    const struct route *route;
    uint64_t listeners;
    uint32_t methods;
    bool is_plain; /* no fields, query, or pattern to look at */
};

/* Rules for one place (a path of a host, say), in order of precedence once sorted. */
struct rules {
    struct rule *rule; /* in the arena */
    unsigned n, cap;
};

void rules_add(struct rules *rules, const struct route *route, struct arena *arena);
void rules_sort(struct rules *rules);

/* The first rule that fits, or NULL. Host and path are settled, but for a pattern. */
const struct route *rules_first(const struct rules *rules, struct search *search);

void search_init(struct search *search, unsigned listener, const struct request *request,
                 struct route_scratch *scratch);

/* -- single conditions --------------------------------------------------- */

/* True when path lies at or below prefix, which is known to be its beginning. */
static inline bool match_at_segment(struct sluice_span path, size_t prefix_len)
{
    return path.len == prefix_len || path.ptr[prefix_len] == '/' || path.ptr[prefix_len - 1] == '/';
}

bool match_path_fits(const struct route_match *match, const struct search *search);
bool match_listener_fits(uint64_t listeners, const struct search *search);
bool match_method_fits(uint32_t methods, const struct search *search);
bool match_field_fits(const struct route_value *wanted, const struct search *search);
bool match_query_fits(const struct route_value *wanted, const struct search *search);

/*
 * The value of a query parameter; false when it is absent. Valid until the scratch is used
 * again.
 */
bool match_query_value(struct sluice_span name, const struct search *search,
                       struct sluice_span *value);

/* -- order --------------------------------------------------------------- */

/*
 * < 0 when a comes before b where both have the same host: path, methods, fields, query, order
 * written.
 */
int match_order(const struct route *a, const struct route *b);

/* True when whatever b's methods, listeners, fields and query let pass, a's do too. */
bool match_covers(const struct route_match *a, const struct route_match *b);

#endif /* ROUTE_MATCH_H */
