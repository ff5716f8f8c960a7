/* What the "routes:" list refuses and warns of, and in which words. */
#include "route_case.h"

#include "unit.h"

/* One faulty list, and what must be told about it. */
struct fault {
    const char *yaml;
    const char *told;
};

static void each_is_refused(const struct fault *faults, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct route_case it;

        case_open(&it, faults[i].yaml);
        ck_assert_msg(it.table == NULL, "taken: %s", faults[i].yaml);
        ck_assert_msg(case_tells(&it, faults[i].told), "%s\nlacks: %s", it.told.ptr,
                      faults[i].told);
        case_close(&it);
    }
}
#define REFUSED(faults) each_is_refused((faults), sizeof(faults) / sizeof((faults)[0]))

static void each_is_warned_of(const struct fault *faults, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct route_case it;

        case_open(&it, faults[i].yaml);
        ck_assert_msg(it.table != NULL, "%s\n%s", faults[i].yaml, it.told.ptr);
        ck_assert_msg(case_tells(&it, faults[i].told), "%s\nlacks: %s", it.told.ptr,
                      faults[i].told);
        case_close(&it);
    }
}
#define WARNED(faults) each_is_warned_of((faults), sizeof(faults) / sizeof((faults)[0]))

START_TEST(route_has_exactly_one_action)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x } ]",
         "route 'x' does nothing: write one of upstream, split, redirect, respond, echo"},
        {"routes: [ { match: { path: /a } } ]", "this route does nothing"},
        {"routes: [ { name: x, echo: false } ]", "route 'x' does nothing"},
        {"routes: [ { name: x, upstream: app, respond: {} } ]",
         "respond beside upstream in route 'x'"},
        {"routes: [ { name: x, upstream: app, echo: true } ]", "echo beside upstream"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(undefined_names_are_told_with_the_nearest)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: canry } ]",
         "upstream 'canry' is not defined in route 'x'"},
        {"routes: [ { name: x, upstream: canry } ]", "did you mean 'canary'?"},
        {"routes: [ { name: x, upstream: app, listeners: [ egde ] } ]",
         "listener 'egde' is not defined in route 'x'"},
        {"routes: [ { name: x, split: [ { upstream: app }, { upstream: other } ] } ]",
         "upstream 'other' is not defined in route 'x'"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(place_of_an_error_is_that_of_the_value)
{
    struct route_case it;

    case_open(&it,
              "routes:\n  - name: x\n    upstream: app\n    match:\n      path_regex: \"(\"\n");
    ck_assert(
        case_tells(&it, "routes.yaml:5:19: error: match.path_regex is no regular expression"));
    case_close(&it);
}
END_TEST

START_TEST(bad_paths_and_patterns_are_refused)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app, match: { path: orders } } ]",
         "match.path 'orders' is no path in route 'x'"},
        {"routes: [ { name: x, upstream: app, match: { path: \"/a?b\" } } ]", "is no path"},
        {"routes: [ { name: x, upstream: app, match: { path_exact: \"\" } } ]", "is no path"},
        {"routes: [ { name: x, upstream: app, match: { path: /a, path_exact: /b } } ]",
         "match has 2 forms of path in route 'x'"},
        {"routes: [ { name: x, upstream: app, match: { path_regex: \"a(b\" } } ]", "at offset 3"},
        {"routes: [ { name: x, upstream: app, match: { path_regex: \"(*UTF)a\" } } ]",
         "no regular expression"},
        {"routes: [ { name: x, upstream: app, match: { fields: { a: { regex: \"[\" } } } } ]",
         "match.fields is no regular expression"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(bad_hosts_are_refused)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app, match: { host: \"a b\" } } ]",
         "match.host 'a b' is no host in route 'x'"},
        {"routes: [ { name: x, upstream: app, match: { host: \"a:80\" } } ]",
         "match.host 'a:80' has a port"},
        {"routes: [ { name: x, upstream: app, match: { host: \"a.*.c\" } } ]", "is no host"},
        {"routes: [ { name: x, upstream: app, match: { host: \"*x.c\" } } ]", "is no host"},
        {"routes: [ { name: x, upstream: app, match: { host: \"*.\" } } ]", "is no host"},
        {"routes: [ { name: x, upstream: app, match: { host: \"\" } } ]", "is no host"},
        {"routes: [ { name: x, upstream: app, match: { host: \"[::g]\" } } ]", "is no host"},
        {"routes: [ { name: x, upstream: app, match: { host: \"u@h\" } } ]", "is no host"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(bad_conditions_are_refused)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app, match: { methods: [ GTE ] } } ]",
         "unknown method 'GTE' in route 'x'"},
        {"routes: [ { name: x, upstream: app, match: { methods: get } } ]", "did you mean 'GET'?"},
        {"routes: [ { name: x, upstream: app, match: { methods: [] } } ]", "at least 1"},
        {"routes: [ { name: x, upstream: app, match: { fields: { \"a b\": c } } } ]",
         "'a b' is no field name"},
        {"routes: [ { name: x, upstream: app, match: { query: { a: { exact: b, prefix: c } } } } ]",
         "'a' has more than one condition"},
        {"routes: [ { name: x, upstream: app, match: { query: { a: {} } } } ]",
         "'a' has no condition"},
        {"routes: [ { name: x, upstream: app, timeout: { total: 0s } } ]", "0s"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(edits_may_not_touch_framing_or_hops)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app, request_fields: { set: { Host: a } } } ]",
         "write rewrite: { host: NAME }"},
        {"routes: [ { name: x, upstream: app, request_fields: { remove: Content-Length } } ]",
         "request_fields may not change 'content-length' in route 'x'"},
        {"routes: [ { name: x, upstream: app, response_fields: { add: { Connection: a } } } ]",
         "response_fields may not change 'connection'"},
        {"routes: [ { name: x, upstream: app, response_fields: { add: { transfer-encoding: a } } } "
         "]",
         "may not change 'transfer-encoding'"},
        {"routes: [ { name: x, upstream: app, request_fields: { set: { \"a:\": b } } } ]",
         "'a:' is no field name"},
        {"routes: [ { name: x, upstream: app, request_fields: { set: { a: \"b\\r\\nc: d\" } } } ]",
         "the value of 'a' may not stand in a field"},
        {"routes: [ { name: x, respond: { fields: { a: \"b\\0\" } } } ]", "NUL byte"},
        {"routes: [ { name: x, respond: { fields: { content-type: a } } } ]",
         "write respond: { content_type: TYPE }"},
        {"routes: [ { name: x, respond: { content_type: \"a\\nb\" } } ]", "respond.content_type"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(bad_actions_are_refused)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, split: [ { upstream: app, weight: 0 } ] } ]",
         "the weights of split add up to 0 in route 'x'"},
        {"routes: [ { name: x, redirect: { status: 301 } } ]",
         "write one of scheme, host, port, path, path_prefix"},
        {"routes: [ { name: x, redirect: { path_prefix: /a } } ]",
         "redirect.path_prefix replaces what match.path matched, which is missing"},
        {"routes: [ { name: x, match: { path: /b }, redirect: { path_prefix: /a, path: /c } } ]",
         "redirect changes the path in two ways"},
        {"routes: [ { name: x, redirect: { host: \"a:1\" } } ]", "redirect.host 'a:1' has a port"},
        {"routes: [ { name: x, respond: { status: 204, body: a } } ]",
         "a response with status 204 has no body in route 'x'"},
        {"routes: [ { name: x, respond: { status: 100 } } ]", "100"},
        {"routes: [ { name: x, upstream: app, rewrite: { path_prefix: / } } ]",
         "rewrite.path_prefix replaces what match.path matched"},
        {"routes: [ { name: x, upstream: app, match: { path: /a }, "
         "rewrite: { path: /b, path_prefix: / } } ]",
         "rewrite changes the path in two ways"},
        {"routes: [ { name: x, upstream: app, "
         "rewrite: { path_regex: { match: \"(a)\", to: \"/$2\" } } } ]",
         "'$' at offset 1 names no group of the pattern"},
        {"routes: [ { name: x, upstream: app, rewrite: { path_regex: { match: \"a\", to: \"/$\" } "
         "} "
         "} ]",
         "'$' at offset 1"},
        {"routes: [ { name: x, upstream: app, rewrite: { host: \"a/b\" } } ]",
         "rewrite.host 'a/b' is no host"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(protocols_that_hide_requests_are_refused)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app, upgrade: [ websocket, h2c ] } ]",
         "upgrade: 'h2c' cannot be allowed in route 'x'"},
        {"routes: [ { name: x, upstream: app, upgrade: [ HTTP/2.0 ] } ]",
         "upgrade: 'HTTP/2.0' cannot be allowed"},
        {"routes: [ { name: x, upstream: app, upgrade: [ TLS/1.0 ] } ]", "cannot be allowed"},
        {"routes: [ { name: x, upstream: app, upgrade: [ \"a b\" ] } ]", "'a b' is no protocol"},
        {"routes: [ { name: x, upstream: app, upgrade: [ a/ ] } ]", "'a/' is no protocol"},
        {"routes: [ { name: x, upstream: app, upgrade: [ \"\" ] } ]", "'' is no protocol"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(names_of_routes_are_unique)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, upstream: app }, { name: x, match: { path: /a }, upstream: app } ]",
         "there are two routes 'x'; the other is at routes.yaml:1:19"},
        {"routes: [ { name: route-2, upstream: app }, { match: { path: /a }, upstream: app } ]",
         "there are two routes 'route-2'"},
        {"routes: [ { name: \"\", upstream: app } ]", "is no name for a route"},
    };

    REFUSED(faults);
}
END_TEST

START_TEST(all_errors_are_told_at_once)
{
    struct route_case it;

    case_open(&it, "routes:\n"
                   "- { name: a, match: { path: x, methods: GTE, host: \"a b\" } }\n"
                   "- { name: b, upstrem: app }\n"
                   "- { name: c, upstream: app, request_fields: { set: { te: x } } }\n");
    ck_assert_uint_eq(notes_errors(it.notes), 6);
    case_close(&it);
}
END_TEST

/* -- warnings --------------------------------------------------------------- */

START_TEST(unreachable_routes_are_warned_of)
{
    static const struct fault faults[] = {
        {"routes:\n- { name: a, upstream: app }\n- { name: b, upstream: app }\n",
         "routes.yaml:3:11: warning: route 'b' is never reached: route 'a' (routes.yaml:2:11) has "
         "the same match and is written earlier"},
        {"routes: [ { name: a, match: { host: [ x, Y ], query: { a: b, c: d } }, upstream: app },"
         " { name: b, match: { host: [ y, X ], query: { c: d, a: b } }, upstream: app } ]",
         "route 'b' is never reached"},
        {"routes: [ { name: a, match: { path_exact: /a, fields: { x: { present: true } } }, "
         "upstream: app }, { name: b, match: { path_exact: /a, fields: { X: y } }, upstream: app } "
         "]",
         "route 'a' (routes.yaml:1:19) takes every request that would match"},
        {"routes: [ { name: a, match: { path_regex: \"^/item/[0-9]+$\" }, upstream: app },"
         " { name: b, match: { path: / }, upstream: app } ]",
         "a prefix goes before a regex"},
        {"routes: [ { name: a, match: { path_regex: \"^/item/[0-9]+$\" }, upstream: app },"
         " { name: b, match: { path: /item }, upstream: app } ]",
         "route 'a' is never reached"},
        {"routes: [ { name: a, upstream: app }, { name: b, match: { path: / }, upstream: app } ]",
         "route 'a' is never reached"},
        {"routes: [ { name: a, match: { methods: [ GET, POST ] }, upstream: app },"
         " { name: b, match: { methods: GET }, upstream: app } ]",
         "route 'b' is never reached"},
    };

    WARNED(faults);
}
END_TEST

START_TEST(reachable_routes_are_not_warned_of)
{
    static const char *const lists[] = {
        "routes: [ { name: a, match: { host: x }, upstream: app }, { name: b, upstream: app } ]",
        "routes: [ { name: a, match: { host: x }, upstream: app },"
        " { name: b, match: { host: [ x, y ] }, upstream: app } ]",
        "routes: [ { name: a, match: { path: /item }, upstream: app },"
        " { name: b, match: { path_regex: \"^/item\" }, upstream: app } ]",
        "routes: [ { name: a, match: { path: /item }, upstream: app },"
        " { name: b, match: { path_regex: \"^/item/?x|y\" }, upstream: app } ]",
        "routes: [ { name: a, match: { path: /i }, upstream: app },"
        " { name: b, match: { path_regex: \"^/i/?x\" }, upstream: app } ]",
        "routes: [ { name: a, match: { methods: GET }, upstream: app },"
        " { name: b, match: { methods: [ GET, POST ] }, upstream: app } ]",
        "routes: [ { name: a, listeners: edge, upstream: app }, { name: b, upstream: app } ]",
        "routes: [ { name: a, match: { query: { x: a } }, upstream: app },"
        " { name: b, match: { query: { x: b } }, upstream: app } ]",
        "routes: [ { name: a, match: { path: /a }, upstream: app },"
        " { name: b, match: { path: /a/ }, upstream: app } ]",
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct route_case it;

        case_open(&it, lists[i]);
        ck_assert_ptr_nonnull(it.table);
        ck_assert_msg(!case_tells(&it, "never reached"), "%s\n%s", lists[i], it.told.ptr);
        case_close(&it);
    }
}
END_TEST

START_TEST(what_has_no_effect_is_warned_of)
{
    static const struct fault faults[] = {
        {"routes: [ { name: x, echo: true } ]", "warning: upstream 'app' is not used by any route"},
        {"routes: [ { name: x, echo: true, timeout: { total: 1s } } ]",
         "timeout has no effect beside echo in route 'x'"},
        {"routes: [ { name: x, respond: {}, rewrite: { path: /a } } ]",
         "rewrite has no effect beside respond"},
        {"routes: [ { name: x, upstream: app, match: { host: [ a, A ] } } ]",
         "match.host has 'a' twice in route 'x'"},
    };

    WARNED(faults);
}
END_TEST

/* -- what is stored ------------------------------------------------------------ */

START_TEST(everything_written_reaches_the_route)
{
    struct route_case it;
    const struct route *route;

    case_open(&it, "routes:\n"
                   "- match: { path: /a/../b, methods: [ GET, POST ] }\n"
                   "  split: [ { upstream: app, weight: 95 }, { upstream: canary } ]\n"
                   "  rewrite: { host: Internal:80 }\n"
                   "  timeout: { response: 5s, idle: 10s, total: 20s }\n"
                   "  limits: { body: 10MiB }\n"
                   "  request_fields: { add: { c: d }, set: { a: \" b \" }, remove: e }\n"
                   "- { match: { path: /c }, respond: { body: hi, fields: { x: y } } }\n");
    ck_assert_msg(it.table != NULL, "%s", it.told.ptr);
    ck_assert_uint_eq(route_table_count(it.table), 2);
    route = route_table_get(it.table, 0);
    ck_assert(span_equal(route->name, SPAN("route-1")));
    ck_assert(span_equal(route->match.path, SPAN("/b")));
    ck_assert_uint_eq(route->match.methods, 1 << METHOD_GET | 1 << METHOD_POST);
    ck_assert_uint_eq(route->n_targets, 2);
    ck_assert_uint_eq(route->weight_sum, 96);
    ck_assert_uint_eq(route->targets[1].index, 1);
    ck_assert(span_equal(route->host, SPAN("internal:80")));
    ck_assert_uint_eq(route->times.response_ms, 5000);
    ck_assert_uint_eq(route->times.idle_ms, 10000);
    ck_assert_uint_eq(route->times.total_ms, 20000);
    ck_assert_uint_eq(route->body_bytes, 10 << 20);
    ck_assert_uint_eq(route->request_edits.n, 3);
    ck_assert_int_eq(route->request_edits.edit[0].kind, ROUTE_EDIT_REMOVE);
    ck_assert_int_eq(route->request_edits.edit[1].kind, ROUTE_EDIT_SET);
    ck_assert(span_equal(route->request_edits.edit[1].value, SPAN("b")));
    ck_assert_int_eq(route->request_edits.edit[2].kind, ROUTE_EDIT_ADD);
    route = route_table_get(it.table, 1);
    ck_assert_int_eq(route->action, ROUTE_RESPOND);
    ck_assert_uint_eq(route->respond->status, 200);
    ck_assert(span_equal(route->respond->content_type, SPAN("text/plain; charset=utf-8")));
    ck_assert(span_equal(route->respond->body, SPAN("hi")));
    ck_assert_uint_eq(route->respond->fields.n, 1);
    ck_assert_ptr_null(route->rewrite);
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/route_config", route_has_exactly_one_action,
          undefined_names_are_told_with_the_nearest, place_of_an_error_is_that_of_the_value,
          bad_paths_and_patterns_are_refused, bad_hosts_are_refused, bad_conditions_are_refused,
          edits_may_not_touch_framing_or_hops, bad_actions_are_refused,
          protocols_that_hide_requests_are_refused, names_of_routes_are_unique,
          all_errors_are_told_at_once, unreachable_routes_are_warned_of,
          reachable_routes_are_not_warned_of, what_has_no_effect_is_warned_of,
          everything_written_reaches_the_route)
