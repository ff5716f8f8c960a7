/*
 * Tests every route against the request, one condition after the other, and says the first
 * that fails. It does not use the tree and the hash table of the look-up: slower, and an
 * independent answer to the same question.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "route/match.h"
#include "route/regex.h"
#include "route/table_private.h"

#include <stdlib.h>

#define REASON_BYTES 512

struct candidate {
    const struct route *route;
    size_t rank; /* how well its hosts fit; 0: not at all */
};

static size_t best_rank(const struct route_match *match, struct sluice_span host)
{
    size_t best = match->n_hosts ? 0 : 1;

    for (size_t i = 0; i < match->n_hosts; i++) {
        size_t rank = host_rank(match->hosts[i], host);

        if (rank > best)
            best = rank;
    }
    return best;
}

static int order_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;

    if (left->rank != right->rank)
        return left->rank > right->rank ? -1 : 1;
    return match_order(left->route, right->route);
}

/* -- reasons ------------------------------------------------------------------ */

static void say_path(const struct route_match *match, struct sluice_span path, struct text *why)
{
    static const char *const kinds[] = {"any path", "path_exact", "path", "path_regex"};

    text_format(why, "%s '%.*s' does not match '%.*s'", kinds[match->path_kind],
                DRAFT_SPAN(match->path), DRAFT_SPAN(path));
}

static void say_host(const struct route_match *match, struct sluice_span host, struct text *why)
{
    text_format(why, "host '%.*s' is not ", DRAFT_SPAN(host));
    for (size_t i = 0; i < match->n_hosts; i++) {
        if (i)
            text_add(why, SPAN(" or "));
        text_add(why, match->hosts[i]);
    }
}

static void say_methods(uint32_t methods, struct sluice_span method, struct text *why)
{
    text_format(why, "method %.*s is not among ", DRAFT_SPAN(method));
    route_methods_print(methods, why);
}

static void say_value(const char *what, const struct route_value *wanted, bool is_there,
                      struct sluice_span value, struct text *why)
{
    text_format(why, "%s %.*s is ", what, DRAFT_SPAN(wanted->name));
    if (is_there) {
        text_format(why, "'%.*s', wants ", DRAFT_SPAN(value));
    } else {
        text_add(why, SPAN("absent, wants "));
    }
    switch (wanted->kind) {
    case ROUTE_VALUE_EXACT:
        text_format(why, "'%.*s'", DRAFT_SPAN(wanted->text));
        break;
    case ROUTE_VALUE_PREFIX:
        text_format(why, "one that begins with '%.*s'", DRAFT_SPAN(wanted->text));
        break;
    case ROUTE_VALUE_REGEX:
        text_format(why, "one that matches '%.*s'", DRAFT_SPAN(wanted->text));
        break;
    case ROUTE_VALUE_PRESENT:
        text_add(why, SPAN("it there"));
        break;
    case ROUTE_VALUE_ABSENT:
        text_add(why, SPAN("it absent"));
        break;
    }
}

static void say_field(const struct route_value *wanted, const struct search *search,
                      struct text *why)
{
    unsigned at = 0;
    const struct field_line *line = fields_next(&search->request->fields, wanted->name, &at);

    say_value("field", wanted, line != NULL, line ? field_value(line) : SPAN(""), why);
}

static void say_query(const struct route_value *wanted, const struct search *search,
                      struct text *why)
{
    struct sluice_span value = SPAN("");
    bool is_there = match_query_value(wanted->name, search, &value);

    say_value("query parameter", wanted, is_there, value, why);
}

/* True when the route fits; else why says what does not. */
static bool fits(const struct candidate *candidate, const struct search *search,
                 struct sluice_span host, struct text *why)
{
    const struct route_match *match = &candidate->route->match;

    if (!match_listener_fits(match->listeners, search)) {
        text_add(why, SPAN("not on this listener"));
        return false;
    }
    if (!candidate->rank) {
        say_host(match, host, why);
        return false;
    }
    if (!match_path_fits(match, search)) {
        say_path(match, search->request->path, why);
        return false;
    }
    if (!match_method_fits(match->methods, search)) {
        say_methods(match->methods, search->request->method_text, why);
        return false;
    }
    for (size_t i = 0; i < match->n_fields; i++) {
        if (!match_field_fits(&match->fields[i], search)) {
            say_field(&match->fields[i], search, why);
            return false;
        }
    }
    for (size_t i = 0; i < match->n_query; i++) {
        if (!match_query_fits(&match->query[i], search)) {
            say_query(&match->query[i], search, why);
            return false;
        }
    }
    return true;
}

void route_explain(const struct route_table *table, unsigned listener,
                   const struct request *request, struct route_scratch *scratch,
                   route_explain_fn *each, void *arg)
{
    struct candidate *candidates = alloc_new((table->n + 1) * sizeof(*candidates));
    const struct route *winner = NULL;
    char bytes[HOST_BYTES];
    struct sluice_span host = host_of(request, bytes);
    struct search search;
    struct text why;

    search_init(&search, listener, request, scratch);
    for (size_t i = 0; i < table->n; i++) {
        candidates[i] =
            (struct candidate){table->routes[i], best_rank(&table->routes[i]->match, host)};
    }
    qsort(candidates, table->n, sizeof(*candidates), order_candidates);
    text_init(&why, REASON_BYTES);
    for (size_t i = 0; i < table->n; i++) {
        text_reset(&why);
        if (!fits(&candidates[i], &search, host, &why)) {
            each(arg, candidates[i].route, text_span(&why).ptr);
        } else if (winner) {
            text_format(&why, "a more specific route matched: '%.*s'", DRAFT_SPAN(winner->name));
            each(arg, candidates[i].route, text_span(&why).ptr);
        } else {
            winner = candidates[i].route;
            each(arg, winner, NULL);
        }
    }
    text_fini(&why);
    alloc_free(candidates);
}
