/*
 * rewrite.h - how a route changes the path: made from the file, and shared with redirects.
 * Private to route/.
 */
#ifndef ROUTE_REWRITE_H
#define ROUTE_REWRITE_H

#include "route/draft.h"

struct rewrite_piece;

enum rewrite_kind {
    REWRITE_NONE,
    REWRITE_PATH,   /* to instead of the whole path */
    REWRITE_PREFIX, /* to instead of what match.path matched */
    REWRITE_REGEX,  /* pieces instead of what regex matched */
};

struct route_rewrite {
    enum rewrite_kind kind;
    struct sluice_span to;
    struct route_regex *regex;
    struct rewrite_piece *piece; /* n_pieces, in the arena */
    size_t n_pieces;
};

/* Sets route->rewrite and route->host. */
void rewrite_make(const struct draft *draft);

/* path or path_prefix of a rewrite or redirect (section) into *rewrite; neither: REWRITE_NONE. */
void rewrite_make_path(const struct draft *draft, const char *section,
                       const struct draft_text *path, const struct draft_text *path_prefix,
                       struct route_rewrite *rewrite);

/*
 * The new path. "/orders" replaced by "/v2" makes "/v2/7" of "/orders/7"; slashes are neither
 * doubled nor lost. May borrow from the request, the route or the arena. Errors as
 * route_rewrite_target().
 */
CHECKED enum err rewrite_path(const struct route *route, const struct route_rewrite *rewrite,
                              struct sluice_span path, struct route_scratch *scratch,
                              struct arena *arena, struct sluice_span *changed);

#endif /* ROUTE_REWRITE_H */
