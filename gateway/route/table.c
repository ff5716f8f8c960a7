#include "route/table.h"

#include "base/check.h"
#include "base/map.h"
#include "route/match_host.h"
#include "route/table_private.h"
#include "route/unreachable.h"

#include <string.h>

#define LISTENERS_MAX 64 /* bits in route_match.listeners */

/* -- names ----------------------------------------------------------------- */

/* What the bound routes are turned into, on the way. */
struct build {
    const struct route_names *names; /* borrowed, as the notes */
    struct arena *arena;
    struct notes *notes;
    struct route_table *table;
};

static const char **texts_of(const struct build *build, const struct sluice_span *spans, size_t n)
{
    const char **texts = arena_new(build->arena, (n + 1) * sizeof(char *));

    for (size_t i = 0; i < n; i++)
        texts[i] = arena_copy(build->arena, spans[i]).ptr;
    return texts;
}

/* Position of a name, or n with an error noted. */
static size_t find_name(const struct build *build, const struct sluice_span *spans, size_t n,
                        const struct draft_text *name, const char *what, const struct route *route)
{
    const char *near;
    const char *hint;

    for (size_t i = 0; i < n; i++) {
        if (span_equal(spans[i], name->text))
            return i;
    }
    near = notes_nearest(name->text, texts_of(build, spans, n), n);
    hint = near ? arena_format(build->arena, "did you mean '%s'?", near).ptr
                : arena_format(build->arena, "define it under %ss:", what).ptr;
    notes_error(build->notes, name->at, hint, "%s '%.*s' is not defined in route '%.*s'", what,
                DRAFT_SPAN(name->text), DRAFT_SPAN(route->name));
    return n;
}

static void name_listeners(const struct build *build, const struct items *written,
                           struct route *route)
{
    const struct draft_text *name = written->first;

    if (written->n)
        route->match.listeners = 0;
    for (size_t i = 0; i < written->n; i++, name++) {
        size_t n = build->names->n_listeners;
        size_t at = find_name(build, build->names->listeners, n, name, "listener", route);

        if (at < LISTENERS_MAX) {
            route->match.listeners |= UINT64_C(1) << at;
        } else if (at < n) {
            notes_error(build->notes, name->at, "leave listeners out: the route then holds for all",
                        "listener '%.*s' is beyond the first %d, which routes can name",
                        DRAFT_SPAN(name->text), LISTENERS_MAX);
        }
    }
}

static void name_targets(const struct build *build, struct route *route)
{
    for (size_t i = 0; i < route->n_targets; i++) {
        struct route_target *target = &route->targets[i];
        struct draft_text name = {target->upstream, target->at};
        size_t n = build->names->n_upstreams;
        size_t at = find_name(build, build->names->upstreams, n, &name, "upstream", route);

        target->index = (unsigned)at;
        if (subset_is_set(&target->subset))
            target->selection = ++build->table->n_selections;
        if (at < n && build->names->is_used)
            build->names->is_used[at] = true;
    }
}

void route_warn_unused(const struct route_names *names, struct notes *notes)
{
    for (size_t i = 0; i < names->n_upstreams; i++) {
        struct mark at = {0, 0, 0, 0};

        if (names->is_used[i])
            continue;
        if (names->upstream_marks)
            at = names->upstream_marks[i];
        notes_warn(notes, at, "name it in a route, or remove it",
                   "upstream '%.*s' is not used by any route", DRAFT_SPAN(names->upstreams[i]));
    }
}

/* -- building --------------------------------------------------------------- */

static void name_route(const struct build *build, struct map *seen, struct route *route)
{
    const struct route *other;

    if (!route->name.len)
        route->name = arena_format(build->arena, "route-%u", route->index + 1);
    other = map_set(seen, route->name, route);
    if (other) {
        notes_error(build->notes, route->at, "names tell routes apart in logs and metrics",
                    "there are two routes '%.*s'; the other is at %.*s:%u:%u",
                    DRAFT_SPAN(route->name), DRAFT_SPAN(notes_file(build->notes, other->at.file)),
                    other->at.line, other->at.column);
    }
}

static void take_routes(const struct build *build, const struct items *bound)
{
    const struct draft_route *written = bound->first;
    struct route_table *table = build->table;
    struct map *seen = map_new();

    table->routes = arena_new(build->arena, (bound->n + 1) * sizeof(struct route *));
    for (size_t i = 0; i < bound->n; i++, written++) {
        struct route *route = written->route;

        if (!route) { /* made by the shape's check, unless the route was wrong */
            CHECK(notes_errors(build->notes) > 0);
            continue;
        }
        route->index = (unsigned)i;
        table->routes[table->n++] = route;
        name_route(build, seen, route);
        name_listeners(build, &written->listeners, route);
        name_targets(build, route);
    }
    map_free(&seen);
}

static void index_routes(struct route_table *table, struct arena *arena)
{
    size_t n_hosts = 0;

    for (size_t i = 0; i < table->n; i++)
        n_hosts += table->routes[i]->match.n_hosts;
    hosts_init(&table->hosts, n_hosts, arena);
    for (size_t i = 0; i < table->n; i++) {
        const struct route *route = table->routes[i];

        if (!route->match.n_hosts)
            paths_add(&table->any, route, arena);
        for (size_t j = 0; j < route->match.n_hosts; j++) {
            struct sluice_span host = route->match.hosts[j];
            bool is_any = span_equal(host, SPAN("*"));

            paths_add(is_any ? &table->any : hosts_add(&table->hosts, host), route, arena);
        }
    }
    for (size_t i = 0; i < table->hosts.n; i++)
        paths_finish(&table->hosts.entry[i].paths);
    paths_finish(&table->any);
}

const struct tree *route_list_plugins(const struct items *bound, size_t i)
{
    const struct draft_route *written = bound->first;

    return written[i].plugins;
}

struct route_table *route_table_new(const struct items *bound, const struct route_names *names,
                                    struct arena *arena, struct notes *notes)
{
    struct build build = {names, arena, notes, arena_new(arena, sizeof(struct route_table))};

    take_routes(&build, bound);
    if (notes_errors(notes) > 0)
        return NULL;
    index_routes(build.table, arena);
    unreachable_warn(&build.table->hosts, &build.table->any, build.table->routes, build.table->n,
                     notes);
    return build.table;
}

size_t route_table_count(const struct route_table *table)
{
    return table->n;
}

unsigned route_table_selections(const struct route_table *table)
{
    return table->n_selections;
}

const struct route *route_table_get(const struct route_table *table, size_t index)
{
    return index < table->n ? table->routes[index] : NULL;
}

/* -- finding ---------------------------------------------------------------- */

/* The exact host, wildcards from the longest on, then the routes without hosts. */
static const struct route *look_up(const struct route_table *table, struct search *search)
{
    if (table->hosts.n) {
        char bytes[HOST_BYTES];
        struct sluice_span host = host_of(search->request, bytes);
        const struct paths *paths;
        size_t from = 0;

        while ((paths = hosts_next(&table->hosts, host, &from))) {
            const struct route *route = paths_find(paths, search);

            if (route)
                return route;
        }
    }
    return paths_find(&table->any, search);
}

enum route_answer route_find(const struct route_table *table, unsigned listener,
                             const struct request *request, struct route_scratch *scratch,
                             const struct route **route, uint32_t *allowed)
{
    struct search search;

    search_init(&search, listener, request, scratch);
    *allowed = 0;
    *route = look_up(table, &search);
    if (*route)
        return ROUTE_FOUND;
    if (!search.skipped)
        return ROUTE_NONE;
    search.collects = true;
    (void)look_up(table, &search);
    *allowed = search.allowed;
    return search.allowed ? ROUTE_METHOD : ROUTE_NONE;
}
