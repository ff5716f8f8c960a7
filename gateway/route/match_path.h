/*
 * match_path.h - the routes of one host by path: a radix tree for exact paths and prefixes,
 * lists for the rest.
 *
 * Built once, then immutable. Private to route/.
 */
#ifndef ROUTE_MATCH_PATH_H
#define ROUTE_MATCH_PATH_H

#include "route/match.h"

struct path_node;

struct paths {
    struct path_node *root; /* in the arena; NULL: no exact path or prefix */
    struct path_node *all;  /* every node, for paths_finish() */
    struct rules regex, any;
};

/* Add a route by its match.path. Zero-initialised paths are empty. */
void paths_add(struct paths *paths, const struct route *route, struct arena *arena);

/* After the last route: bring everything into order. */
void paths_finish(struct paths *paths);

/* The route that fits best, or NULL. */
const struct route *paths_find(const struct paths *paths, struct search *search);

/* Call back for each list of rules, with the path kind it belongs to. */
typedef void paths_each_fn(void *arg, const struct paths *paths, const struct rules *rules,
                           enum route_path_kind kind);
void paths_each(const struct paths *paths, paths_each_fn *each, void *arg);

/*
 * Call back for each list of prefix rules that every path beginning with start falls under. All
 * paths begin with "/".
 */
void paths_each_prefix_of(const struct paths *paths, struct sluice_span start, paths_each_fn *each,
                          void *arg);

#endif /* ROUTE_MATCH_PATH_H */
