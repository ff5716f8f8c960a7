#include "route_case.h"

#include "unit.h"

static void add_line(void *arg, const struct route *route, const char *why_not)
{
    text_format(arg, "%.*s: %s\n", (int)route->name.len, route->name.ptr,
                why_not ? why_not : "wins");
}

static const char *explained(struct route_case *it, unsigned listener)
{
    struct text lines;
    const char *copy;

    text_init(&lines, 1 << 16);
    route_explain(it->table, listener, &it->request, it->scratch, add_line, &lines);
    copy = arena_copy(&it->arena, text_span(&lines)).ptr;
    text_fini(&lines);
    return copy;
}

START_TEST(each_route_says_why_it_lost_in_order_of_precedence)
{
    struct route_case it;

    case_open(&it,
              "routes:\n"
              "- { name: any, upstream: app }\n"
              "- { name: other, match: { host: [ y.test, \"*.z.test\" ] }, upstream: app }\n"
              "- { name: wide, match: { host: \"*.x.test\" }, upstream: app }\n"
              "- { name: path, match: { host: a.x.test, path: /b }, upstream: app }\n"
              "- { name: put, match: { host: a.x.test, path: /a, methods: [ PUT, GET ] }, "
              "upstream: app }\n"
              "- { name: field, match: { host: a.x.test, path: /a, fields: { x-version: "
              "\"2\" } }, upstream: app }\n"
              "- { name: query, match: { host: a.x.test, path: /a, query: { q: { present: "
              "true } } }, upstream: app }\n"
              "- { name: inner, match: { host: a.x.test, path_exact: /a }, listeners: inner, "
              "upstream: app }\n"
              "- { name: regex, match: { host: a.x.test, path_regex: ^/b }, upstream: app }\n");
    ck_assert_msg(it.table != NULL, "%s", it.told.ptr);
    case_request(&it, "POST", "A.x.test:80", "/a");
    case_field(&it, "X-Version", "1");
    ck_assert_str_eq(explained(&it, 0), "inner: not on this listener\n"
                                        "put: method POST is not among GET, PUT\n"
                                        "field: field x-version is '1', wants '2'\n"
                                        "query: query parameter q is absent, wants it there\n"
                                        "path: path '/b' does not match '/a'\n"
                                        "regex: path_regex '^/b' does not match '/a'\n"
                                        "wide: wins\n"
                                        "any: a more specific route matched: 'wide'\n"
                                        "other: host 'a.x.test' is not y.test or *.z.test\n");
    case_close(&it);
}
END_TEST

START_TEST(each_kind_of_value_is_told)
{
    struct route_case it;

    case_open(&it, "routes:\n"
                   "- { name: a, match: { query: { q: { prefix: x } } }, upstream: app }\n"
                   "- { name: b, match: { query: { q: { regex: x } } }, upstream: app }\n"
                   "- { name: c, match: { query: { q: { present: false } } }, upstream: app }\n");
    case_request(&it, "GET", "h", "/?q=1");
    ck_assert_str_eq(explained(&it, 0),
                     "a: query parameter q is '1', wants one that begins with 'x'\n"
                     "b: query parameter q is '1', wants one that matches 'x'\n"
                     "c: query parameter q is '1', wants it absent\n");
    case_close(&it);
}
END_TEST

START_TEST(winner_is_the_route_that_is_found)
{
    static const char *const targets[] = {"/", "/a", "/a/", "/a/b", "/ab", "/a/b/c?q=1", "/a?q=2"};
    static const char *const hosts[] = {"", "x", "y.x", "z.y.x", "X:1", "q"};
    struct route_case it;

    case_open(&it, "routes:\n"
                   "- { name: r0, match: { path: /a, query: { q: \"2\" } }, upstream: app }\n"
                   "- { name: r1, match: { host: x, path: /a }, upstream: app }\n"
                   "- { name: r2, match: { host: \"*.x\", path: /a/ }, upstream: app }\n"
                   "- { name: r3, match: { host: \"*.y.x\", path_exact: /a }, upstream: app }\n"
                   "- { name: r4, match: { host: [ x, q ], path_regex: b }, upstream: app }\n"
                   "- { name: r5, match: { host: q, query: { q: \"1\" } }, upstream: app }\n");
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        for (size_t j = 0; j < sizeof hosts / sizeof hosts[0]; j++) {
            char wins[32];
            const char *found = case_get(&it, hosts[j], targets[i]);
            const char *text = explained(&it, 0);

            snprintf(wins, sizeof wins, "%s: wins\n", found);
            ck_assert_msg(strcmp(found, "none") == 0 ? !strstr(text, "wins")
                                                     : strstr(text, wins) != NULL,
                          "%s %s: found %s, explained\n%s", hosts[j], targets[i], found, text);
        }
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/explain", each_route_says_why_it_lost_in_order_of_precedence,
          each_kind_of_value_is_told, winner_is_the_route_that_is_found)
