/*
 * Only routes of the same host compete for certain: a request for an exact host may still fall
 * through to wider ones. So each host is looked at by itself, and a route is unreachable when
 * it is so at all its hosts.
 */
#include "route/unreachable.h"

#include "base/alloc.h"
#include "route/draft.h"
#include "route/regex.h"

/*
 * How many rules before a rule are compared with it: thousands of routes at one path are not
 * compared in full.
 */
#define LOOK_BACK 512

struct shadow {
    const struct route *by; /* the route that takes the requests, at the last host looked at */
    size_t hosts;           /* at how many hosts */
};

struct hunt {
    struct shadow *shadows;    /* one a route */
    const struct route *loser; /* while prefixes are tried against it */
    const struct route *by;
};

static bool same_path(const struct route_match *a, const struct route_match *b)
{
    return a->path_kind == b->path_kind && span_equal(a->path, b->path);
}

/*
 * The first of the n rules that lets through all that loser does; those at the same place only
 * (or NULL).
 */
static const struct route *find_cover(const struct rules *rules, unsigned n,
                                      const struct route *loser, bool any_path)
{
    for (unsigned i = n > LOOK_BACK ? n - LOOK_BACK : 0; i < n; i++) {
        const struct route *route = rules->rule[i].route;

        if (!any_path && !same_path(&route->match, &loser->match))
            continue;
        if (match_covers(&route->match, &loser->match))
            return route;
    }
    return NULL;
}

static void try_prefix(void *arg, const struct paths *paths, const struct rules *rules,
                       enum route_path_kind kind)
{
    struct hunt *hunt = arg;

    (void)paths;
    (void)kind;
    if (!hunt->by)
        hunt->by = find_cover(rules, rules->n, hunt->loser, true);
}

/* A prefix takes what a pattern or a route without path would get. */
static const struct route *find_prefix(struct hunt *hunt, const struct paths *paths,
                                       const struct route *loser)
{
    struct sluice_span start = SPAN("");

    if (loser->match.path_kind == ROUTE_PATH_REGEX)
        start = regex_literal(loser->match.path_regex);
    hunt->loser = loser;
    hunt->by = NULL;
    paths_each_prefix_of(paths, start, try_prefix, hunt);
    return hunt->by;
}

static void look_at_rules(void *arg, const struct paths *paths, const struct rules *rules,
                          enum route_path_kind kind)
{
    struct hunt *hunt = arg;

    for (unsigned i = 0; i < rules->n; i++) {
        const struct route *loser = rules->rule[i].route;
        const struct route *by = find_cover(rules, i, loser, false);
        struct shadow *shadow = &hunt->shadows[loser->index];

        if (!by && (kind == ROUTE_PATH_REGEX || kind == ROUTE_PATH_ANY))
            by = find_prefix(hunt, paths, loser);
        if (!by)
            continue;
        shadow->by = by;
        shadow->hosts++;
    }
}

static bool same_match(const struct route_match *a, const struct route_match *b)
{
    return same_path(a, b) && match_covers(a, b) && match_covers(b, a);
}

static void warn(const struct route *route, const struct route *by, struct notes *notes)
{
    struct sluice_span file = notes_file(notes, by->at.file);
    const char *how = same_match(&route->match, &by->match)
                          ? "has the same match and is written earlier"
                          : "takes every request that would match";
    const char *hint = "remove it, or give its match one more condition";

    if (route->match.path_kind == ROUTE_PATH_REGEX && by->match.path_kind == ROUTE_PATH_PREFIX)
        hint = "a prefix goes before a regex: narrow the prefix, or write a prefix here too";
    notes_warn(notes, route->at, hint,
               "route '%.*s' is never reached: route '%.*s' (%.*s:%u:%u) %s",
               DRAFT_SPAN(route->name), DRAFT_SPAN(by->name), DRAFT_SPAN(file), by->at.line,
               by->at.column, how);
}

void unreachable_warn(const struct hosts *hosts, const struct paths *any,
                      const struct route *const *routes, size_t n_routes, struct notes *notes)
{
    struct hunt hunt = {NULL, NULL, NULL};

    if (!n_routes)
        return;
    hunt.shadows = alloc_new(n_routes * sizeof(*hunt.shadows));
    for (size_t i = 0; i < hosts->n; i++)
        paths_each(&hosts->entry[i].paths, look_at_rules, &hunt);
    paths_each(any, look_at_rules, &hunt);
    for (size_t i = 0; i < n_routes; i++) {
        const struct shadow *shadow = &hunt.shadows[i];
        size_t n_hosts = routes[i]->match.n_hosts ? routes[i]->match.n_hosts : 1;

        if (shadow->hosts == n_hosts)
            warn(routes[i], shadow->by, notes);
    }
    alloc_free(hunt.shadows);
}
