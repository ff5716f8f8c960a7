#include "route_case.h"

#include "unit.h"

#define IS(got, wanted) ck_assert_str_eq((got), (wanted))

static void open_fine(struct route_case *it, const char *yaml)
{
    case_open(it, yaml);
    ck_assert_msg(it->table != NULL, "%s", it->told.ptr);
}

/* -- hosts ----------------------------------------------------------------- */

static const char hosts[] =
    "routes:\n"
    "- { name: none, upstream: app }\n"
    "- { name: wide, match: { host: \"*.example.com\" }, upstream: app }\n"
    "- { name: deep, match: { host: \"*.a.example.com\" }, upstream: app }\n"
    "- { name: exact, match: { host: API.example.com }, upstream: app }\n"
    "- { name: six, match: { host: \"[::1]\" }, upstream: app }\n";

START_TEST(exact_host_goes_before_longer_wildcard_before_none)
{
    struct route_case it;

    open_fine(&it, hosts);
    IS(case_get(&it, "api.example.com", "/"), "exact");
    IS(case_get(&it, "x.example.com", "/"), "wide");
    IS(case_get(&it, "x.y.example.com", "/"), "wide");
    IS(case_get(&it, "x.a.example.com", "/"), "deep");
    IS(case_get(&it, "a.example.com", "/"), "wide");
    IS(case_get(&it, "example.com", "/"), "none");
    IS(case_get(&it, "badexample.com", "/"), "none");
    IS(case_get(&it, "", "/"), "none");
    case_close(&it);
}
END_TEST

START_TEST(host_compares_without_case_port_and_last_dot)
{
    struct route_case it;

    open_fine(&it, hosts);
    IS(case_get(&it, "Api.Example.COM:8080", "/"), "exact");
    IS(case_get(&it, "api.example.com.", "/"), "exact");
    IS(case_get(&it, "X.EXAMPLE.com:1", "/"), "wide");
    IS(case_get(&it, "[::1]:443", "/"), "six");
    case_close(&it);
}
END_TEST

START_TEST(host_without_fitting_route_falls_through_to_wider_ones)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: e, match: { host: a.b.c, path: /e }, upstream: app }\n"
                   "- { name: w, match: { host: \"*.b.c\", path: /w }, upstream: app }\n"
                   "- { name: ww, match: { host: \"*.c\", path: /ww }, upstream: app }\n"
                   "- { name: n, match: { host: [ x.y, \"*\" ], path: /n }, upstream: app }\n");
    IS(case_get(&it, "a.b.c", "/e"), "e");
    IS(case_get(&it, "a.b.c", "/w"), "w");
    IS(case_get(&it, "a.b.c", "/ww"), "ww");
    IS(case_get(&it, "a.b.c", "/n"), "n");
    IS(case_get(&it, "x.y", "/n"), "n");
    IS(case_get(&it, "a.b.c", "/other"), "none");
    IS(case_get(&it, "b.c", "/w"), "none");
    case_close(&it);
}
END_TEST

START_TEST(overlong_host_fits_only_routes_without_host)
{
    struct route_case it;
    char host[600];

    memset(host, 'a', sizeof host);
    for (size_t i = 1; i < sizeof host; i += 2)
        host[i] = '.';
    memcpy(host + sizeof host - 14, "a.example.com", 14);
    open_fine(&it, hosts);
    IS(case_get(&it, host, "/"), "none");
    case_close(&it);
}
END_TEST

/* -- paths ------------------------------------------------------------------ */

START_TEST(prefix_matches_whole_segments)
{
    struct route_case it;

    open_fine(&it, "routes:\n- { name: r, match: { path: /orders }, upstream: app }\n");
    IS(case_get(&it, "h", "/orders"), "r");
    IS(case_get(&it, "h", "/orders/"), "r");
    IS(case_get(&it, "h", "/orders/7"), "r");
    IS(case_get(&it, "h", "/ordersx"), "none");
    IS(case_get(&it, "h", "/order"), "none");
    IS(case_get(&it, "h", "/"), "none");
    case_close(&it);
}
END_TEST

START_TEST(prefix_with_last_slash_matches_only_below)
{
    struct route_case it;

    open_fine(&it, "routes:\n- { name: r, match: { path: /orders/ }, upstream: app }\n");
    IS(case_get(&it, "h", "/orders"), "none");
    IS(case_get(&it, "h", "/orders/"), "r");
    IS(case_get(&it, "h", "/orders/7"), "r");
    case_close(&it);
}
END_TEST

START_TEST(exact_goes_before_longest_prefix_before_regex_before_none)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: none, upstream: app }\n"
                   "- { name: short-regex, match: { path_regex: \"b\" }, upstream: app }\n"
                   "- { name: long-regex, match: { path_regex: \"[b]$\" }, upstream: app }\n"
                   "- { name: a, match: { path: /a }, upstream: app }\n"
                   "- { name: ab, match: { path: /a/b }, upstream: app }\n"
                   "- { name: ab-below, match: { path: /a/b/ }, upstream: app }\n"
                   "- { name: exact, match: { path_exact: /a/b }, upstream: app }\n");
    IS(case_get(&it, "h", "/a/b"), "exact");
    IS(case_get(&it, "h", "/a/b/c"), "ab-below");
    IS(case_get(&it, "h", "/a/bc"), "a");
    IS(case_get(&it, "h", "/c/b"), "long-regex");
    IS(case_get(&it, "h", "/c/bc"), "short-regex");
    IS(case_get(&it, "h", "/c"), "none");
    IS(case_get(&it, "h", "*"), "none");
    case_close(&it);
}
END_TEST

START_TEST(shorter_prefix_serves_what_longer_one_refuses)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: root, match: { path: / }, upstream: app }\n"
                   "- { name: ab, match: { path: /a/b, query: { q: \"1\" } }, upstream: app }\n"
                   "- { name: a, match: { path: /a, query: { q: \"2\" } }, upstream: app }\n");
    IS(case_get(&it, "h", "/a/b?q=1"), "ab");
    IS(case_get(&it, "h", "/a/b?q=2"), "a");
    IS(case_get(&it, "h", "/a/b?q=3"), "root");
    case_close(&it);
}
END_TEST

START_TEST(regex_is_anchored_only_as_written)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: in, match: { path_regex: \"/v[0-9]+/\" }, upstream: app }\n"
                   "- { name: all, match: { path_regex: \"^/item/[0-9]+$\" }, upstream: app }\n");
    IS(case_get(&it, "h", "/x/v12/y"), "in");
    IS(case_get(&it, "h", "/item/12"), "all");
    IS(case_get(&it, "h", "/item/12x"), "none");
    IS(case_get(&it, "h", "/x/item/12"), "none");
    case_close(&it);
}
END_TEST

START_TEST(regex_that_gives_up_does_not_match)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: slow, match: { path_regex: \"^/(a+)+$\" }, upstream: app }\n"
                   "- { name: rest, upstream: app }\n");
    IS(case_get(&it, "h", "/aaaa"), "slow");
    IS(case_get(&it, "h", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), "rest");
    case_close(&it);
}
END_TEST

/* -- the finer conditions ------------------------------------------------------ */

START_TEST(method_given_goes_before_more_fields_before_more_query)
{
    struct route_case it;

    open_fine(&it,
              "routes:\n"
              "- { name: plain, upstream: app }\n"
              "- { name: query, match: { query: { a: \"1\", b: \"2\" } }, upstream: app }\n"
              "- { name: field, match: { fields: { x-a: \"1\" } }, upstream: app }\n"
              "- { name: fields, match: { fields: { x-a: \"1\", x-b: \"2\" } }, upstream: app }\n"
              "- { name: get, match: { methods: GET, query: { m: \"\" } }, upstream: app }\n");
    case_request(&it, "GET", "h", "/?a=1&b=2&m");
    case_field(&it, "X-A", "1");
    case_field(&it, "X-B", "2");
    IS(case_find(&it, 0), "get");
    case_request(&it, "GET", "h", "/?a=1&b=2");
    case_field(&it, "X-A", "1");
    case_field(&it, "X-B", "2");
    IS(case_find(&it, 0), "fields");
    case_request(&it, "GET", "h", "/?a=1&b=2");
    case_field(&it, "X-A", "1");
    IS(case_find(&it, 0), "field");
    IS(case_get(&it, "h", "/?b=2&a=1"), "query");
    IS(case_get(&it, "h", "/?a=1"), "plain");
    case_close(&it);
}
END_TEST

START_TEST(ties_go_to_the_route_written_first)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: one, match: { query: { a: \"1\" } }, upstream: app }\n"
                   "- { name: two, match: { query: { b: \"1\" } }, upstream: app }\n");
    IS(case_get(&it, "h", "/?b=1&a=1"), "one");
    case_close(&it);
}
END_TEST

START_TEST(order_of_writing_does_not_matter_else)
{
    static const char *const routes[] = {
        "- { name: none, upstream: app }\n",
        "- { name: host, match: { host: h }, upstream: app }\n",
        "- { name: prefix, match: { host: h, path: /a }, upstream: app }\n",
        "- { name: post, match: { host: h, path: /a, methods: POST }, upstream: app }\n",
    };

    for (unsigned first = 0; first < 4; first++) {
        struct route_case it;
        char yaml[1024] = "routes:\n";

        for (unsigned i = 0; i < 4; i++)
            strcat(yaml, routes[(first + i * 3) % 4]);
        open_fine(&it, yaml);
        IS(case_get(&it, "h", "/a"), "prefix");
        IS(case_get(&it, "h", "/b"), "host");
        IS(case_get(&it, "x", "/a"), "none");
        case_request(&it, "POST", "h", "/a/b");
        IS(case_find(&it, 0), "post");
        case_close(&it);
    }
}
END_TEST

START_TEST(values_match_exactly_by_prefix_by_regex_or_presence)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: r, upstream: app, match: { fields: { x-e: { exact: one }, "
                   "x-p: { prefix: ab }, accept: { regex: json }, x-t: { present: true }, "
                   "x-f: { present: false } } } }\n");
    case_request(&it, "GET", "h", "/");
    case_field(&it, "X-E", "one");
    case_field(&it, "x-p", "abc");
    case_field(&it, "Accept", "text/html");
    case_field(&it, "Accept", "application/json");
    IS(case_find(&it, 0), "none");
    case_field(&it, "x-t", "");
    IS(case_find(&it, 0), "r");
    case_field(&it, "X-F", "");
    IS(case_find(&it, 0), "none");
    ck_assert_uint_eq(fields_remove(&it.request.fields, SPAN("x-f")), 1);
    IS(case_find(&it, 0), "r");
    it.request.fields.line[0].value_len = 2;
    IS(case_find(&it, 0), "none");
    case_close(&it);
}
END_TEST

START_TEST(query_is_decoded_and_its_first_value_counts)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: q, match: { query: { \"a b\": \"c/d\" } }, upstream: app }\n"
                   "- { name: no, match: { query: { z: { present: false } } }, upstream: app }\n");
    IS(case_get(&it, "h", "/?a+b=c%2Fd"), "q");
    IS(case_get(&it, "h", "/?a%20b=c/d&a+b=x"), "q");
    IS(case_get(&it, "h", "/?a+b=x&a+b=c%2Fd"), "no");
    IS(case_get(&it, "h", "/"), "no");
    IS(case_get(&it, "h", "/?z"), "none");
    case_close(&it);
}
END_TEST

START_TEST(listeners_keep_routes_apart)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: in, listeners: inner, match: { path: /a }, upstream: app }\n"
                   "- { name: both, listeners: [ edge, inner ], upstream: app }\n"
                   "- { name: all, match: { path: /all }, upstream: app }\n");
    case_request(&it, "GET", "h", "/a");
    IS(case_find(&it, 0), "both");
    IS(case_find(&it, 1), "in");
    IS(case_find(&it, 2), "none");
    IS(case_find(&it, 64), "none");
    case_request(&it, "GET", "h", "/all");
    IS(case_find(&it, 64), "all");
    case_close(&it);
}
END_TEST

START_TEST(methods_that_would_fit_are_told)
{
    struct route_case it;

    open_fine(&it, "routes:\n"
                   "- { name: a, match: { host: h, path: /a, methods: [ POST, GET ] }, "
                   "upstream: app }\n"
                   "- { name: b, match: { path: /a, methods: [ PUT ] }, upstream: app }\n"
                   "- { name: c, match: { path: /a, methods: PATCH, query: { x: \"1\" } }, "
                   "upstream: app }\n");
    case_request(&it, "DELETE", "h", "/a");
    IS(case_find(&it, 0), "method: GET, POST, PUT");
    case_request(&it, "DELETE", "h", "/a?x=1");
    IS(case_find(&it, 0), "method: GET, POST, PUT, PATCH");
    case_request(&it, "BREW", "other", "/a");
    IS(case_find(&it, 0), "method: PUT");
    case_request(&it, "HEAD", "h", "/b");
    IS(case_find(&it, 0), "none");
    case_request(&it, "PUT", "h", "/a");
    IS(case_find(&it, 0), "b");
    case_close(&it);
}
END_TEST

START_TEST(unknown_methods_fit_routes_without_methods)
{
    struct route_case it;

    open_fine(&it, "routes:\n- { name: any, upstream: app }\n"
                   "- { name: get, match: { methods: GET }, upstream: app }\n");
    case_request(&it, "BREW", "h", "/");
    IS(case_find(&it, 0), "any");
    case_close(&it);
}
END_TEST

START_TEST(table_without_routes_finds_none)
{
    struct route_case it;

    open_fine(&it, "routes: []\n");
    ck_assert_uint_eq(route_table_count(it.table), 0);
    IS(case_get(&it, "h", "/"), "none");
    ck_assert_ptr_null(route_table_get(it.table, 0));
    case_close(&it);
}
END_TEST

START_TEST(thousands_of_routes_are_each_found)
{
    struct route_case it;
    struct text yaml;

    text_init(&yaml, 1 << 20);
    text_add(&yaml, SPAN("routes:\n"));
    for (int i = 0; i < 3000; i++)
        text_format(&yaml,
                    "- { name: r%d, match: { host: h%d.test, path: /p%d/x }, upstream: app }\n", i,
                    i % 50, i);
    open_fine(&it, yaml.ptr);
    for (int i = 0; i < 3000; i++) {
        char host[32], path[32], name[32];

        snprintf(host, sizeof host, "h%d.test", i % 50);
        snprintf(path, sizeof path, "/p%d/x/y", i);
        snprintf(name, sizeof name, "r%d", i);
        IS(case_get(&it, host, path), name);
        snprintf(path, sizeof path, "/p%d/y", i);
        IS(case_get(&it, host, path), "none");
    }
    text_fini(&yaml);
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/table", exact_host_goes_before_longer_wildcard_before_none,
          host_compares_without_case_port_and_last_dot,
          host_without_fitting_route_falls_through_to_wider_ones,
          overlong_host_fits_only_routes_without_host, prefix_matches_whole_segments,
          prefix_with_last_slash_matches_only_below,
          exact_goes_before_longest_prefix_before_regex_before_none,
          shorter_prefix_serves_what_longer_one_refuses, regex_is_anchored_only_as_written,
          regex_that_gives_up_does_not_match,
          method_given_goes_before_more_fields_before_more_query,
          ties_go_to_the_route_written_first, order_of_writing_does_not_matter_else,
          values_match_exactly_by_prefix_by_regex_or_presence,
          query_is_decoded_and_its_first_value_counts, listeners_keep_routes_apart,
          methods_that_would_fit_are_told, unknown_methods_fit_routes_without_methods,
          table_without_routes_finds_none, thousands_of_routes_are_each_found)
