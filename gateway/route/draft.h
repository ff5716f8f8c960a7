/*
 * draft.h - a route as it is written (filled by shapes), and the making of a struct route from it.
 *
 * Private to route/. The shape of a route has a check that makes the route while the file is still
 * being bound, so that its errors are told together with all others; what concerns other
 * routes, upstreams and listeners waits for route_table_new().
 */
#ifndef ROUTE_DRAFT_H
#define ROUTE_DRAFT_H

#include "config/shape.h"
#include "policy/subset.h"
#include "route/route.h"

/* For "%.*s". */
#define DRAFT_SPAN(span) (int)(span).len, (span).ptr

/* A scalar with its place; text.ptr NULL: not written. */
struct draft_text {
    struct sluice_span text;
    struct mark at;
};

struct draft_value {
    struct named named;
    struct draft_text exact, prefix, regex;
    bool present;
    bool has_present;
};

struct draft_pair {
    struct named named;
    struct draft_text value;
};

struct draft_match {
    struct items hosts; /* of draft_text, as methods */
    struct draft_text path, path_exact, path_regex;
    struct items methods;
    struct items fields, query; /* of draft_value */
};

/* Where to, in a route by itself: all of the upstream, or some of it. */
struct draft_upstream {
    struct draft_text name;
    struct subset subset;
};

struct draft_part {
    struct draft_text upstream;
    struct subset subset;
    uint64_t weight;
};

struct draft_redirect {
    int status;
    int scheme; /* enum redirect_scheme */
    struct draft_text host;
    uint64_t port;
    struct draft_text path, path_prefix;
};

struct draft_respond {
    uint64_t status;
    struct sluice_span body;
    struct draft_text content_type;
    struct items fields; /* of draft_pair */
};

struct draft_pattern {
    struct draft_text match, to;
};

struct draft_rewrite {
    struct draft_text path_prefix, path;
    struct draft_pattern path_regex;
    struct draft_text host;
};

struct draft_edits {
    struct items set, add; /* of draft_pair */
    struct items remove;   /* of draft_text */
};

/* One element of "routes:". */
struct draft_route {
    struct draft_text name;
    struct items listeners; /* of draft_text */
    struct draft_match match;
    struct draft_upstream upstream;
    struct items split; /* of draft_part */
    struct draft_redirect redirect;
    struct draft_respond respond;
    bool echo;
    struct draft_rewrite rewrite;
    struct draft_edits request_fields, response_fields;
    struct route_times timeout;
    struct retry_rule retry;
    struct hedge_rule hedge;
    struct items upgrade; /* of draft_text */
    uint64_t body_bytes;
    const struct tree *plugins; /* as written; NULL: none */
    struct route *route;        /* what the check made of it */
};

/* A route being made. */
struct draft {
    struct bind *bind;                 /* borrowed */
    const struct tree *node;           /* the route's own */
    const struct draft_route *written; /* borrowed */
    struct route *route;               /* in the bind's arena */
    const char *label;                 /* "route 'orders'" */
};

/*
 * The check of a route's shape: fills in route->route and notes what is wrong in the route by
 * itself.
 */
void draft_check(struct bind *bind, const struct tree *node, void *out);

/* An error, or a warning, that ends in " in route 'orders'". */
void draft_error(const struct draft *draft, struct mark at, const char *hint, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
void draft_warn(const struct draft *draft, struct mark at, const char *hint, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* What was written under this key of the route, or NULL. */
const struct tree *draft_find(const struct draft *draft, const char *key);

/* Compile a pattern, noting an error under the name of its key; NULL when it is malformed. */
struct route_regex *draft_regex(const struct draft *draft, const struct draft_text *pattern,
                                const char *key);

/* A path in normal form; empty, with an error noted, when it is none. */
struct sluice_span draft_path(const struct draft *draft, const struct draft_text *path,
                              const char *key);

/* Check host[:port] (the port when with_port); lower case, or empty with an error noted. */
struct sluice_span draft_host(const struct draft *draft, const struct draft_text *host,
                              const char *key, bool with_port);

#endif /* ROUTE_DRAFT_H */
