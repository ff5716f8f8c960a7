/*
 * route_bench.c - nanoseconds a look-up with 1, 100 and 10,000 routes.
 *
 * Not a test: it judges nothing. Started by "make bench-parts".
 */
#include "base/alloc.h"
#include "base/text.h"
#include "route/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOOKUPS = 2000000, REQUESTS = 256, TRIES = 3 };

struct world {
    struct arena arena;
    struct route_table *table;
    struct route_scratch *scratch;
    struct request request[REQUESTS];
};

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void world_open(struct world *world, const char *yaml)
{
    static const struct sluice_span listeners[] = {SPAN("edge")};
    static const struct sluice_span upstreams[] = {SPAN("app")};
    const struct route_names names = {listeners, 1, upstreams, 1, NULL};
    struct bind bind = {.arena = &world->arena};
    struct items bound = {NULL, 0};
    struct tree *tree = NULL;
    struct text told;
    struct notes *notes;

    arena_init(&world->arena, NULL, 0);
    world->scratch = route_scratch_new();
    bind.notes = notes = notes_new();
    if (!tree_parse(span_of(yaml), "bench", &world->arena, notes, &tree) &&
        !shape_bind(&bind, &route_list_shape, tree_find(tree, SPAN("routes")), &bound))
        world->table = route_table_new(&bound, &names, &world->arena, notes);
    if (!world->table) {
        text_init(&told, 1 << 16);
        notes_print(notes, &told);
        fprintf(stderr, "%s\n", told.ptr);
        exit(EXIT_FAILURE);
    }
    notes_free(&notes);
}

static void world_close(struct world *world)
{
    route_scratch_free(&world->scratch);
    arena_fini(&world->arena);
}

/* Best of some tries: what the code costs, not what else the machine did. */
static void measure(struct world *world, const char *name, size_t n_requests)
{
    double best = 1e18;
    size_t found = 0;

    for (int try = 0; try < TRIES; try++) {
        double start = now_ns();

        found = 0;
        for (size_t i = 0; i < LOOKUPS; i++) {
            const struct route *route;
            uint32_t allowed;

            found += route_find(world->table, 0, &world->request[i % n_requests], world->scratch,
                                &route, &allowed) == ROUTE_FOUND;
        }
        if (now_ns() - start < best)
            best = now_ns() - start;
    }
    printf("%-44s %8.1f ns %10zu found\n", name, best / LOOKUPS, found);
}

/* How the routes of a table differ, and what is asked for; '#' becomes the number. */
struct kind {
    const char *name;
    const char *match_host; /* NULL: none */
    const char *match_path; /* NULL: none */
    size_t hosts;           /* how many different ones */
    const char *host, *path;
};

static struct sluice_span numbered(struct arena *arena, const char *text, size_t number)
{
    struct sluice_span span = span_of(text);
    size_t at = span_find(span, '#');

    if (at == span.len)
        return span;
    return arena_format(arena, "%.*s%zu%s", (int)at, text, number, text + at + 1);
}

static void add_route(const struct kind *kind, size_t number, struct text *yaml)
{
    struct arena arena;

    arena_init(&arena, NULL, 0);
    text_add(yaml, SPAN("- { upstream: app, match: {"));
    if (kind->match_host)
        text_format(yaml, " host: \"%s\",",
                    numbered(&arena, kind->match_host, number % kind->hosts).ptr);
    if (kind->match_path)
        text_format(yaml, " path: \"%s\"", numbered(&arena, kind->match_path, number).ptr);
    text_add(yaml, SPAN(" } }\n"));
    arena_fini(&arena);
}

static void bench(const struct kind *kind, size_t n_routes)
{
    struct world *world = alloc_new(sizeof(*world));
    struct text yaml;
    char name[96];

    text_init(&yaml, 4 << 20);
    text_add(&yaml, SPAN("routes:\n"));
    for (size_t i = 0; i < n_routes; i++)
        add_route(kind, i, &yaml);
    world_open(world, yaml.ptr);
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t route = i * 7919 % n_routes;
        struct request *request = &world->request[i];

        request->method = METHOD_GET;
        request->authority = numbered(&world->arena, kind->host, route % kind->hosts);
        request->path = numbered(&world->arena, kind->path, route);
        request->target = request->path;
    }
    (void)snprintf(name, sizeof(name), "%5zu routes, %s", n_routes, kind->name);
    measure(world, name, REQUESTS);
    text_fini(&yaml);
    world_close(world);
    alloc_free(world);
}

int main(void)
{
    static const struct kind one = {"no conditions",      NULL, NULL, 1, "api.example.com",
                                    "/services/orders/17"};
    static const struct kind kinds[] = {
        {"path", NULL, "/services/s#", 1, "api.example.com", "/services/s#/orders"},
        {"exact host and path", "host#.example.com", "/services/s#", 100, "host#.example.com",
         "/services/s#/orders"},
        {"wildcard host and path", "*.host#.example.com", "/services/s#", 10000,
         "a.b.host#.example.com", "/services/s#/orders"},
    };
    static const size_t sizes[] = {1, 100, 10000};

    bench(&one, 1);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++)
            bench(&kinds[i], sizes[j]);
    return EXIT_SUCCESS;
}
