#include "route/match.h"

#include "http/target.h"
#include "route/regex.h"

#include <stdlib.h>
#include <string.h>

/* -- values -------------------------------------------------------------- */

static bool value_fits(const struct route_value *wanted, struct sluice_span value,
                       struct route_scratch *scratch)
{
    switch (wanted->kind) {
    case ROUTE_VALUE_EXACT:
        return span_equal(value, wanted->text);
    case ROUTE_VALUE_PREFIX:
        return span_starts(value, wanted->text);
    case ROUTE_VALUE_REGEX:
        return regex_match(wanted->regex, value, scratch) == REGEX_YES;
    case ROUTE_VALUE_PRESENT:
        return true;
    case ROUTE_VALUE_ABSENT:
        return false;
    }
    return false;
}

static bool line_is(const struct field_line *line, const struct route_value *wanted)
{
    if (line->mark & FIELD_DROPPED)
        return false;
    if (wanted->id != FIELD_OTHER)
        return line->id == wanted->id;
    return line->name_len == wanted->name.len && span_equal_nocase(field_name(line), wanted->name);
}

/* One line of the name that fits is enough; ABSENT wants none of the name. */
bool match_field_fits(const struct route_value *wanted, const struct search *search)
{
    const struct fields *fields = &search->request->fields;

    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (!line_is(line, wanted))
            continue;
        if (wanted->kind == ROUTE_VALUE_ABSENT)
            return false;
        if (value_fits(wanted, field_value(line), search->scratch))
            return true;
    }
    return wanted->kind == ROUTE_VALUE_ABSENT;
}

bool match_query_value(struct sluice_span name, const struct search *search,
                       struct sluice_span *value)
{
    size_t room;
    char *bytes = regex_scratch_bytes(search->scratch, &room);

    return search->request->has_query &&
           target_query_find(search->request->query, name, bytes, room, value);
}

bool match_query_fits(const struct route_value *wanted, const struct search *search)
{
    struct sluice_span value;

    if (!match_query_value(wanted->name, search, &value))
        return wanted->kind == ROUTE_VALUE_ABSENT;
    return value_fits(wanted, value, search->scratch);
}

/* -- the other conditions ------------------------------------------------- */

bool match_path_fits(const struct route_match *match, const struct search *search)
{
    struct sluice_span path = search->request->path;

    switch (match->path_kind) {
    case ROUTE_PATH_ANY:
        return true;
    case ROUTE_PATH_EXACT:
        return span_equal(path, match->path);
    case ROUTE_PATH_PREFIX:
        return span_starts(path, match->path) && match_at_segment(path, match->path.len);
    case ROUTE_PATH_REGEX:
        return regex_match(match->path_regex, path, search->scratch) == REGEX_YES;
    }
    return false;
}

bool match_listener_fits(uint64_t listeners, const struct search *search)
{
    return listeners == UINT64_MAX || (listeners & search->listener);
}

bool match_method_fits(uint32_t methods, const struct search *search)
{
    return !methods || (methods & search->method);
}

static bool finer_conditions_fit(const struct route_match *match, const struct search *search)
{
    if (match->path_kind == ROUTE_PATH_REGEX && !match_path_fits(match, search))
        return false;
    for (size_t i = 0; i < match->n_fields; i++) {
        if (!match_field_fits(&match->fields[i], search))
            return false;
    }
    for (size_t i = 0; i < match->n_query; i++) {
        if (!match_query_fits(&match->query[i], search))
            return false;
    }
    return true;
}

void search_init(struct search *search, unsigned listener, const struct request *request,
                 struct route_scratch *scratch)
{
    *search = (struct search){.request = request, .scratch = scratch};
    if (listener < 64)
        search->listener = UINT64_C(1) << listener;
    if (request->method != METHOD_OTHER)
        search->method = UINT32_C(1) << request->method;
}

const struct route *rules_first(const struct rules *rules, struct search *search)
{
    for (unsigned i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->rule[i];
        bool method_fits = match_method_fits(rule->methods, search);

        if (!match_listener_fits(rule->listeners, search))
            continue;
        if (method_fits == search->collects) {
            search->skipped |= !method_fits;
            continue;
        }
        if (!rule->is_plain && !finer_conditions_fit(&rule->route->match, search))
            continue;
        if (!search->collects)
            return rule->route;
        search->allowed |= rule->methods;
    }
    return NULL;
}

/* -- order --------------------------------------------------------------- */

static int order_numbers(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static size_t path_rank(enum route_path_kind kind)
{
    switch (kind) {
    case ROUTE_PATH_EXACT:
        return 3;
    case ROUTE_PATH_PREFIX:
        return 2;
    case ROUTE_PATH_REGEX:
        return 1;
    case ROUTE_PATH_ANY:
        return 0;
    }
    return 0;
}

int match_order(const struct route *a, const struct route *b)
{
    int order = order_numbers(path_rank(b->match.path_kind), path_rank(a->match.path_kind));

    if (!order && a->match.path_kind != ROUTE_PATH_EXACT)
        order = order_numbers(b->match.path.len, a->match.path.len);
    if (!order)
        order = (b->match.methods != 0) - (a->match.methods != 0);
    if (!order)
        order = order_numbers(b->match.n_fields, a->match.n_fields);
    if (!order)
        order = order_numbers(b->match.n_query, a->match.n_query);
    return order ? order : order_numbers(a->index, b->index);
}

/* True when a value that b accepts is surely one that a accepts. */
static bool value_covers(const struct route_value *a, const struct route_value *b)
{
    if (a->id != b->id || !span_equal(a->name, b->name))
        return false;
    if (a->kind == ROUTE_VALUE_PRESENT)
        return b->kind != ROUTE_VALUE_ABSENT;
    if (a->kind == ROUTE_VALUE_PREFIX &&
        (b->kind == ROUTE_VALUE_EXACT || b->kind == ROUTE_VALUE_PREFIX))
        return span_starts(b->text, a->text);
    return a->kind == b->kind && span_equal(a->text, b->text);
}

/* Each condition of a follows from one of b. */
static bool values_cover(const struct route_value *a, size_t n_a, const struct route_value *b,
                         size_t n_b)
{
    for (size_t i = 0; i < n_a; i++) {
        size_t j = 0;

        while (j < n_b && !value_covers(&a[i], &b[j]))
            j++;
        if (j == n_b)
            return false;
    }
    return true;
}

bool match_covers(const struct route_match *a, const struct route_match *b)
{
    if (b->listeners & ~a->listeners)
        return false;
    if (a->methods && (!b->methods || (b->methods & ~a->methods)))
        return false;
    return values_cover(a->fields, a->n_fields, b->fields, b->n_fields) &&
           values_cover(a->query, a->n_query, b->query, b->n_query);
}

/* -- lists --------------------------------------------------------------- */

void rules_add(struct rules *rules, const struct route *route, struct arena *arena)
{
    const struct route_match *match = &route->match;

    if (rules->n == rules->cap) {
        unsigned cap = rules->cap ? rules->cap * 2 : 1;
        struct rule *grown = arena_new(arena, cap * sizeof(*grown));

        if (rules->n)
            memcpy(grown, rules->rule, rules->n * sizeof(*grown));
        rules->rule = grown;
        rules->cap = cap;
    }
    rules->rule[rules->n++] = (struct rule){
        .route = route,
        .listeners = match->listeners,
        .methods = match->methods,
        .is_plain = !match->n_fields && !match->n_query && match->path_kind != ROUTE_PATH_REGEX,
    };
}

static int order_rules(const void *a, const void *b)
{
    const struct rule *left = a;
    const struct rule *right = b;

    return match_order(left->route, right->route);
}

void rules_sort(struct rules *rules)
{
    if (rules->n > 1)
        qsort(rules->rule, rules->n, sizeof(*rules->rule), order_rules);
}
