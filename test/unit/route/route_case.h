/*
 * route_case.h - a route table from YAML, and requests for it, for the tests of this layer.
 *
 * Names known to the tables: listeners "edge" and "inner", upstreams "app", "canary" and "spare".
 */
#ifndef TEST_ROUTE_CASE_H
#define TEST_ROUTE_CASE_H

#include "base/arena.h"
#include "http/message.h"
#include "route/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASE_FIELDS = 16 };

struct route_case {
    struct arena arena;
    struct notes *notes;
    struct route_table *table;
    struct route_scratch *scratch;
    struct text told; /* all notes, printed */
    struct field_line lines[CASE_FIELDS];
    struct request request;
};

/* yaml is the list below "routes:". table is NULL when there was an error. */
static inline void case_open(struct route_case *it, const char *yaml)
{
    static const struct sluice_span listeners[] = {SPAN("edge"), SPAN("inner")};
    static const struct sluice_span upstreams[] = {SPAN("app"), SPAN("canary"), SPAN("spare")};
    bool is_used[3] = {false, false, false};
    const struct route_names names = {listeners, 2, upstreams, 3, NULL, is_used};
    struct items bound = {NULL, 0};
    struct tree *tree = NULL;
    struct bind bind = {.arena = &it->arena};

    memset(it, 0, sizeof *it);
    arena_init(&it->arena, NULL, 0);
    it->notes = notes_new();
    bind.notes = it->notes;
    it->scratch = route_scratch_new();
    if (!tree_parse(span_of(yaml), "routes.yaml", &it->arena, it->notes, &tree) &&
        !shape_bind(&bind, &route_list_shape, tree_find(tree, SPAN("routes")), &bound))
        it->table = route_table_new(&bound, &names, &it->arena, it->notes);
    if (it->table)
        route_warn_unused(&names, it->notes);
    text_init(&it->told, 1 << 20);
    notes_print(it->notes, &it->told);
}

static inline void case_close(struct route_case *it)
{
    text_fini(&it->told);
    route_scratch_free(&it->scratch);
    notes_free(&it->notes);
    arena_fini(&it->arena);
}

/* True when a note says this. */
static inline bool case_tells(const struct route_case *it, const char *text)
{
    return span_has(text_span(&it->told), span_of(text));
}

/* A request for "host" and "/path?query"; fields are added by case_field(). */
static inline struct request *case_request(struct route_case *it, const char *method,
                                           const char *host, const char *target)
{
    struct request *request = &it->request;
    struct sluice_span text = span_of(target);
    size_t mark = span_find(text, '?');

    memset(request, 0, sizeof *request);
    request->method_text = span_of(method);
    request->method = method_find(request->method_text);
    request->target = text;
    request->form = strcmp(target, "*") == 0 ? TARGET_ASTERISK : TARGET_ORIGIN;
    request->authority = span_of(host);
    request->path = span_make(text.ptr, mark);
    request->has_query = mark < text.len;
    if (request->has_query)
        request->query = span_make(text.ptr + mark + 1, text.len - mark - 1);
    request->minor = 1;
    request->fields = (struct fields){.line = it->lines, .cap = CASE_FIELDS};
    return request;
}

static inline void case_field(struct route_case *it, const char *name, const char *value)
{
    if (fields_add(&it->request.fields, span_of(name), span_of(value)))
        abort();
}

/* What serves the request: the route's name, "none", or "method: GET, HEAD". */
static inline const char *case_find(struct route_case *it, unsigned listener)
{
    const struct route *route = NULL;
    uint32_t allowed = 0;
    struct text methods;
    const char *answer = "none";

    switch (route_find(it->table, listener, &it->request, it->scratch, &route, &allowed)) {
    case ROUTE_FOUND:
        return arena_copy(&it->arena, route->name).ptr;
    case ROUTE_NONE:
        return answer;
    case ROUTE_METHOD:
        break;
    }
    text_init(&methods, 256);
    route_methods_print(allowed, &methods);
    answer = arena_format(&it->arena, "method: %s", methods.ptr).ptr;
    text_fini(&methods);
    return answer;
}

static inline const char *case_get(struct route_case *it, const char *host, const char *target)
{
    (void)case_request(it, "GET", host, target);
    return case_find(it, 0);
}

#endif /* TEST_ROUTE_CASE_H */
