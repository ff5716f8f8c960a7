#include "route_case.h"

#include "unit.h"

static void open_redirect(struct route_case *it, const char *redirect)
{
    char yaml[512];

    snprintf(yaml, sizeof yaml, "routes: [ { match: { path: /a }, redirect: %s } ]", redirect);
    case_open(it, yaml);
    ck_assert_msg(it->table != NULL, "%s", it->told.ptr);
}

static void leads_to(struct route_case *it, const char *host, const char *target,
                     const char *wanted)
{
    const struct request *request = case_request(it, "GET", host, target);
    struct sluice_span made;

    ck_assert_int_eq(
        route_location(route_table_get(it->table, 0), request, SPAN("http"), &it->arena, &made),
        OK);
    ck_assert_str_eq(arena_copy(&it->arena, made).ptr, wanted);
}

START_TEST(status_is_308_unless_written)
{
    struct route_case it;

    open_redirect(&it, "{ scheme: https }");
    ck_assert_uint_eq(route_redirect_status(route_table_get(it.table, 0)), 308);
    case_close(&it);
    open_redirect(&it, "{ scheme: https, status: 302 }");
    ck_assert_uint_eq(route_redirect_status(route_table_get(it.table, 0)), 302);
    case_close(&it);
}
END_TEST

START_TEST(changed_scheme_or_host_loses_the_port)
{
    struct route_case it;

    open_redirect(&it, "{ scheme: https }");
    leads_to(&it, "example.com:8080", "/a?x=1", "https://example.com/a?x=1");
    leads_to(&it, "[::1]:8080", "/a", "https://[::1]/a");
    case_close(&it);
    open_redirect(&it, "{ host: WWW.example.com }");
    leads_to(&it, "example.com:8080", "/a", "http://www.example.com/a");
    case_close(&it);
    open_redirect(&it, "{ path: /b }");
    leads_to(&it, "example.com:8080", "/a", "http://example.com:8080/b");
    leads_to(&it, "example.com:80", "/a?", "http://example.com/b?");
    case_close(&it);
}
END_TEST

START_TEST(port_of_the_scheme_is_left_out)
{
    struct route_case it;

    open_redirect(&it, "{ scheme: https, port: 443 }");
    leads_to(&it, "h", "/a", "https://h/a");
    case_close(&it);
    open_redirect(&it, "{ scheme: https, port: 65535 }");
    leads_to(&it, "h", "/a", "https://h:65535/a");
    case_close(&it);
    open_redirect(&it, "{ port: 443 }");
    leads_to(&it, "h", "/a", "http://h:443/a");
    case_close(&it);
}
END_TEST

START_TEST(path_prefix_replaces_what_matched)
{
    struct route_case it;

    open_redirect(&it, "{ path_prefix: /new }");
    leads_to(&it, "h", "/a/b?c", "http://h/new/b?c");
    leads_to(&it, "h", "/a", "http://h/new");
    case_close(&it);
}
END_TEST

START_TEST(request_without_host_gets_a_path_that_names_no_host)
{
    struct route_case it;
    struct request *request;
    struct sluice_span made;

    open_redirect(&it, "{ path_prefix: / }");
    leads_to(&it, "", "/a//evil.example/x", "/evil.example/x");
    leads_to(&it, "h", "/a//evil.example/x", "http://h//evil.example/x");
    leads_to(&it, "u@h", "/a/x", "/x");
    case_close(&it);
    open_redirect(&it, "{ port: 1 }");
    request = case_request(&it, "OPTIONS", "h", "*");
    ck_assert_int_eq(
        route_location(route_table_get(it.table, 0), request, SPAN("http"), &it.arena, &made), OK);
    ck_assert(span_equal(made, SPAN("http://h:1/")));
    case_close(&it);
}
END_TEST

START_TEST(bytes_that_end_a_line_are_escaped)
{
    struct route_case it;

    open_redirect(&it, "{ scheme: https }");
    leads_to(&it, "h", "/a\r\nSet-Cookie: x\"<>\\^`{|}\xff?q\r\n",
             "https://h/a%0D%0ASet-Cookie:%20x%22%3C%3E%5C%5E%60%7B%7C%7D%FF?q%0D%0A");
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/redirect", status_is_308_unless_written, changed_scheme_or_host_loses_the_port,
          port_of_the_scheme_is_left_out, path_prefix_replaces_what_matched,
          request_without_host_gets_a_path_that_names_no_host, bytes_that_end_a_line_are_escaped)
