/*
 * route_fuzz.c - a request against a fixed table: the look-up, the explanation and a naive
 * search agree.
 *
 * Input: lines "METHOD", "host", "target", then "name: value" each. Missing ones are empty.
 */
#include "base/arena.h"
#include "http/target.h"
#include "route/table.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 8, LISTENERS = 2 };

#define MUST(x) ((x) ? (void)0 : fail(#x, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "route_fuzz: line %d: not so: %s\n", line, what);
    abort();
}

static const char table_text[] =
    "routes:\n"
    "- { name: any, upstream: app }\n"
    "- { name: root, match: { path: /, methods: [ GET, HEAD ] }, upstream: app }\n"
    "- { name: a, match: { path: /a }, upstream: app, rewrite: { path_prefix: /v2 } }\n"
    "- { name: a-below, match: { path: /a/ }, upstream: app, rewrite: { path_prefix: / } }\n"
    "- { name: ab, match: { path: /a/b, methods: POST }, upstream: app }\n"
    "- { name: abc, match: { path: /abc }, redirect: { path_prefix: / } }\n"
    "- { name: ab-exact, match: { path_exact: /a/b }, redirect: { scheme: https } }\n"
    "- { name: x, match: { host: x.test, path: /a }, upstream: app }\n"
    "- { name: x-regex, match: { host: x.test, path_regex: \"^/(.*)/(b|c)$\" }, upstream: app,\n"
    "    rewrite: { path_regex: { match: \"^/(.*)/\", to: \"/.$1\" } } }\n"
    "- { name: x-long, match: { host: x.test, path_regex: \"(a+)+[bc]{2,}$\" }, upstream: app }\n"
    "- { name: wild, match: { host: \"*.test\", path: /a }, upstream: app }\n"
    "- { name: wild-long, match: { host: \"*.x.test\", path_exact: / }, upstream: app }\n"
    "- { name: many, match: { host: [ \"[::1]\", y.test, \"*.y.test\" ], fields: { x-a: \"1\" } "
    "},\n"
    "    upstream: app }\n"
    "- { name: query, match: { host: y.test, query: { q: { prefix: a } } }, upstream: app }\n"
    "- { name: inner, match: { host: y.test, path: /i }, listeners: inner, upstream: app }\n"
    "- { name: absent, match: { path: /n, fields: { x-a: { present: false } } }, echo: true }\n";

struct world {
    struct arena arena;
    struct route_table *table;
    struct route_scratch *scratch;
};

/* Made once: the fuzzer calls again and again. */
static struct world *world_open(void)
{
    static struct world world;
    static const struct sluice_span listeners[] = {SPAN("edge"), SPAN("inner")};
    static const struct sluice_span upstreams[] = {SPAN("app")};
    const struct route_names names = {
        .listeners = listeners, .n_listeners = LISTENERS, .upstreams = upstreams, .n_upstreams = 1};
    struct bind bind = {.arena = &world.arena};
    struct items bound = {NULL, 0};
    struct tree *tree = NULL;
    struct notes *notes;

    if (world.table)
        return &world;
    arena_init(&world.arena, NULL, 0);
    bind.notes = notes = notes_new();
    MUST(!tree_parse(span_of(table_text), "fuzz", &world.arena, notes, &tree));
    MUST(!shape_bind(&bind, &route_list_shape, tree_find(tree, SPAN("routes")), &bound));
    world.table = route_table_new(&bound, &names, &world.arena, notes);
    world.scratch = route_scratch_new();
    MUST(world.table);
    notes_free(&notes);
    return &world;
}

/* -- the naive search ------------------------------------------------------------ */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool host_ends(struct sluice_span host, struct sluice_span end)
{
    if (host.len < end.len)
        return false;
    for (size_t i = 0; i < end.len; i++)
        if (lower(host.ptr[host.len - end.len + i]) != end.ptr[i])
            return false;
    return true;
}

/* 0: does not fit; 1: no host wanted; more: longer wildcard; most: the name itself. */
static size_t host_points(const struct route_match *match, struct sluice_span host)
{
    size_t best = match->n_hosts ? 0 : 1;

    for (size_t i = 0; i < match->n_hosts; i++) {
        struct sluice_span want = match->hosts[i];
        size_t points = 0;

        if (want.ptr[0] == '*') {
            want = span_make(want.ptr + 1, want.len - 1);
            if (host.len > want.len && host_ends(host, want))
                points = 1 + want.len;
        } else {
            if (want.ptr[0] == '[' && host.len && host.ptr[0] != '[')
                want = span_make(want.ptr + 1, want.len - 2);
            if (host.len == want.len && host_ends(host, want))
                points = 100000;
        }
        best = points > best ? points : best;
    }
    return best;
}

static bool path_is_below(struct sluice_span path, struct sluice_span prefix)
{
    if (!span_starts(path, prefix))
        return false;
    return path.len == prefix.len || prefix.ptr[prefix.len - 1] == '/' ||
           path.ptr[prefix.len] == '/';
}

/* Points for the path: exact above prefixes above none. Patterns are left to the explanation. */
static size_t path_points(const struct route_match *match, struct sluice_span path)
{
    switch (match->path_kind) {
    case ROUTE_PATH_ANY:
        return 1;
    case ROUTE_PATH_REGEX:
        return 0;
    case ROUTE_PATH_PREFIX:
        return path_is_below(path, match->path) ? 1000 + match->path.len : 0;
    case ROUTE_PATH_EXACT:
        return span_equal(path, match->path) ? 100000 : 0;
    }
    return 0;
}

static bool is_simple(const struct route_match *match)
{
    return !match->n_fields && !match->n_query && match->path_kind != ROUTE_PATH_REGEX;
}

static bool method_fits(const struct route_match *match, const struct request *request)
{
    return !match->methods ||
           (request->method != METHOD_OTHER && (match->methods >> request->method & 1));
}

/* The best of the routes without patterns, fields and query, by points. */
static const struct route *naive_find(const struct route_table *table, unsigned listener,
                                      const struct request *request, struct sluice_span host)
{
    const struct route *best = NULL;
    size_t best_points = 0;

    for (size_t i = 0; i < route_table_count(table); i++) {
        const struct route *route = route_table_get(table, i);
        const struct route_match *match = &route->match;
        size_t hosts = host_points(match, host);
        size_t paths = path_points(match, request->path);
        size_t points = (hosts * 1000000 + paths) * 2 + (match->methods != 0);

        if (!hosts || !paths || !is_simple(match) || !method_fits(match, request))
            continue;
        if (!(match->listeners >> listener & 1) || points <= best_points)
            continue;
        best = route;
        best_points = points;
    }
    return best;
}

/* -- one input ----------------------------------------------------------------------- */

static bool next_line(struct sluice_span *rest, struct sluice_span *line)
{
    size_t end = span_find(*rest, '\n');

    *line = span_make(rest->ptr, end);
    if (end == rest->len) {
        *rest = span_make(rest->ptr + end, 0);
        return line->len > 0;
    }
    *rest = span_make(rest->ptr + end + 1, rest->len - end - 1);
    return true;
}

/* False when a parser would have refused it before any route is asked for. */
static bool read_request(struct sluice_span rest, struct arena *arena, struct request *request)
{
    struct sluice_span line;
    size_t mark;

    (void)next_line(&rest, &line);
    request->method_text = line;
    request->method = method_find(line);
    (void)next_line(&rest, &request->authority);
    (void)next_line(&rest, &request->target);
    mark = span_find(request->target, '?');
    request->path = span_make(request->target.ptr, mark);
    request->has_query = mark < request->target.len;
    if (request->has_query)
        request->query = span_make(request->target.ptr + mark + 1, request->target.len - mark - 1);
    while (request->fields.n < LINES_MAX && next_line(&rest, &line)) {
        size_t colon = span_find(line, ':');

        if (colon == 0 || colon == line.len || colon > UINT16_MAX)
            continue;
        if (fields_add(&request->fields, span_make(line.ptr, colon),
                       span_trim(span_make(line.ptr + colon + 1, line.len - colon - 1))))
            return false;
    }
    if (request->has_query && !target_query_is_valid(request->query))
        return false;
    return !target_normalise(request->path, TARGET_MERGE_SLASHES, arena, &request->path);
}

static void find_winner(void *arg, const struct route *route, const char *why_not)
{
    const struct route **winner = arg;

    if (why_not)
        return;
    MUST(!*winner);
    *winner = route;
}

static void follow(struct world *world, const struct route *route, const struct request *request,
                   struct arena *arena)
{
    struct sluice_span made;

    if (route->action == ROUTE_REDIRECT) {
        MUST(!route_location(route, request, SPAN("http"), arena, &made));
        MUST(made.len && (made.ptr[0] == '/' || span_starts(made, SPAN("http"))));
        MUST(made.len < 2 || made.ptr[0] != '/' || made.ptr[1] != '/');
        for (size_t i = 0; i < made.len; i++)
            MUST(made.ptr[i] > 0x20 && made.ptr[i] < 0x7f);
    }
    if (route->action != ROUTE_FORWARD)
        return;
    if (route_rewrite_target(route, request, world->scratch, arena, &made))
        return;
    MUST(made.len && made.ptr[0] == '/');
    MUST(!span_has(span_make(made.ptr, span_find(made, '?')), SPAN("/../")));
}

static void ask(struct world *world, unsigned listener, const struct request *request,
                struct arena *arena)
{
    const struct route *found = NULL;
    const struct route *winner = NULL;
    const struct route *naive;
    struct sluice_span host = SPAN("");
    uint32_t allowed = 0;
    uint16_t port;
    enum route_answer answer =
        route_find(world->table, listener, request, world->scratch, &found, &allowed);

    route_explain(world->table, listener, request, world->scratch, find_winner, &winner);
    MUST(found == winner);
    MUST((answer == ROUTE_FOUND) == (found != NULL));
    MUST((answer == ROUTE_METHOD) == (allowed != 0));
    if (request->method != METHOD_OTHER)
        MUST(!(allowed >> request->method & 1));
    if (target_authority(request->authority, &host, &port))
        host = SPAN("");
    naive = naive_find(world->table, listener, request, host);
    MUST(!naive || found);
    if (found && is_simple(&found->match))
        MUST(found == naive);
    if (found)
        follow(world, found, request, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct world *world = world_open();
    struct field_line lines[LINES_MAX];
    struct request request = {.fields = {.line = lines, .cap = LINES_MAX}};
    struct arena arena;

    if (len > 4096 || memchr(input, 0, len))
        return 0;
    arena_init(&arena, NULL, 1 << 20);
    if (read_request(span_make((const char *)input, len), &arena, &request))
        for (unsigned listener = 0; listener < LISTENERS; listener++)
            ask(world, listener, &request, &arena);
    arena_fini(&arena);
    return 0;
}
