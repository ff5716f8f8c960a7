#include "route_case.h"

#include "unit.h"

/* The target that the only route makes of a target; NULL with *err when it fails. */
static const char *rewritten(struct route_case *it, const char *target, enum err *err)
{
    const struct request *request = case_request(it, "GET", "h", target);
    const struct route *route = route_table_get(it->table, 0);
    struct sluice_span made;

    *err = route_rewrite_target(route, request, it->scratch, &it->arena, &made);
    return *err ? NULL : arena_copy(&it->arena, made).ptr;
}

/* Open a route that matches a prefix and rewrites like this. */
static void open_rewrite(struct route_case *it, const char *path, const char *rewrite)
{
    char yaml[512];

    snprintf(yaml, sizeof yaml, "routes: [ { match: { path: %s }, upstream: app, rewrite: %s } ]",
             path, rewrite);
    case_open(it, yaml);
    ck_assert_msg(it->table != NULL, "%s", it->told.ptr);
}

static void becomes(struct route_case *it, const char *target, const char *wanted)
{
    enum err err;
    const char *made = rewritten(it, target, &err);

    ck_assert_int_eq(err, OK);
    ck_assert_str_eq(made, wanted);
}

START_TEST(normal_target_is_sent_as_it_came)
{
    struct route_case it;
    const struct request *request;
    struct sluice_span made;

    open_rewrite(&it, "/", "{ host: x }");
    request = case_request(&it, "GET", "h", "/a/b?c=d");
    ck_assert_int_eq(
        route_rewrite_target(route_table_get(it.table, 0), request, it.scratch, &it.arena, &made),
        OK);
    ck_assert_ptr_eq(made.ptr, request->target.ptr);
    ck_assert_uint_eq(made.len, request->target.len);
    case_close(&it);
}
END_TEST

START_TEST(normalised_path_and_absolute_form_are_sent_as_path_and_query)
{
    struct route_case it;
    struct request *request;
    struct sluice_span made;

    open_rewrite(&it, "/", "{ host: x }");
    request = case_request(&it, "GET", "h", "/a?b");
    request->target = SPAN("/x/../a?b");
    ck_assert_int_eq(
        route_rewrite_target(route_table_get(it.table, 0), request, it.scratch, &it.arena, &made),
        OK);
    ck_assert(span_equal(made, SPAN("/a?b")));
    request->form = TARGET_ABSOLUTE;
    request->target = SPAN("http://h/a");
    request->has_query = false;
    ck_assert_int_eq(
        route_rewrite_target(route_table_get(it.table, 0), request, it.scratch, &it.arena, &made),
        OK);
    ck_assert(span_equal(made, SPAN("/a")));
    case_close(&it);
}
END_TEST

START_TEST(asterisk_is_never_rewritten)
{
    struct route_case it;

    case_open(&it, "routes: [ { upstream: app, rewrite: { path: /x } } ]");
    becomes(&it, "*", "*");
    case_close(&it);
}
END_TEST

START_TEST(prefix_is_replaced_without_doubling_or_losing_slashes)
{
    static const char *const rows[][4] = {
        {"/orders", "/", "/orders", "/"},
        {"/orders", "/", "/orders/", "/"},
        {"/orders", "/", "/orders/7", "/7"},
        {"/orders", "/v2", "/orders", "/v2"},
        {"/orders", "/v2", "/orders/", "/v2/"},
        {"/orders", "/v2/", "/orders", "/v2/"},
        {"/orders", "/v2/", "/orders/7", "/v2/7"},
        {"/orders/", "/", "/orders/7", "/7"},
        {"/orders/", "/v2", "/orders/", "/v2/"},
        {"/orders/", "/v2/", "/orders/7/", "/v2/7/"},
        {"/", "/v2", "/orders", "/v2/orders"},
        {"/", "/v2", "/", "/v2/"},
        {"/", "/", "/a//b", "/a//b"},
        {"/a", "/b", "/a/x?y=/a", "/b/x?y=/a"},
        {"/a", "/b", "/a?", "/b?"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route_case it;
        char rewrite[64];

        snprintf(rewrite, sizeof rewrite, "{ path_prefix: %s }", rows[i][1]);
        open_rewrite(&it, rows[i][0], rewrite);
        becomes(&it, rows[i][2], rows[i][3]);
        case_close(&it);
    }
}
END_TEST

START_TEST(path_replaces_all_but_the_query)
{
    struct route_case it;

    open_rewrite(&it, "/a", "{ path: /fixed }");
    becomes(&it, "/a/b/c", "/fixed");
    becomes(&it, "/a?x=1", "/fixed?x=1");
    case_close(&it);
}
END_TEST

START_TEST(regex_replaces_what_it_matched)
{
    struct route_case it;

    open_rewrite(&it, "/", "{ path_regex: { match: \"^/a/(.*)/(x)?\", to: \"/b/$1$2$$-$0\" } }");
    becomes(&it, "/a/7/tail?q", "/b/7$-/a/7/tail?q");
    becomes(&it, "/other", "/other");
    case_close(&it);
    open_rewrite(&it, "/", "{ path_regex: { match: \"b\", to: \"\" } }");
    becomes(&it, "/abab", "/aab");
    case_close(&it);
}
END_TEST

START_TEST(regex_result_is_a_path_again)
{
    struct route_case it;
    enum err err;

    open_rewrite(&it, "/", "{ path_regex: { match: \"^/x(.*)$\", to: \"/files/.$1\" } }");
    becomes(&it, "/x./etc", "/etc"); /* "/files/../etc" never reaches the upstream */
    ck_assert_ptr_null(rewritten(&it, "/x./../..", &err));
    ck_assert_int_eq(err, ERR_PROTOCOL);
    case_close(&it);
    open_rewrite(&it, "/", "{ path_regex: { match: \"^/(.*)2F\", to: \"$1\" } }");
    ck_assert_ptr_null(rewritten(&it, "/a%2F", &err));
    ck_assert_int_eq(err, ERR_PROTOCOL);
    becomes(&it, "/x2F", "/x");
    case_close(&it);
}
END_TEST

START_TEST(regex_that_gives_up_is_a_limit)
{
    struct route_case it;
    enum err err;

    open_rewrite(&it, "/", "{ path_regex: { match: \"^/(a+)+$\", to: /x } }");
    ck_assert_ptr_null(rewritten(&it, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", &err));
    ck_assert_int_eq(err, ERR_LIMIT);
    case_close(&it);
}
END_TEST

START_TEST(full_arena_is_told)
{
    struct route_case it;
    struct arena small;
    struct sluice_span made;
    const struct request *request;
    char path[8000];

    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    open_rewrite(&it, "/", "{ path_prefix: /v2 }");
    request = case_request(&it, "GET", "h", path);
    arena_init(&small, NULL, 4096);
    ck_assert_int_eq(
        route_rewrite_target(route_table_get(it.table, 0), request, it.scratch, &small, &made),
        ERR_MEMORY);
    arena_fini(&small);
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/rewrite", normal_target_is_sent_as_it_came,
          normalised_path_and_absolute_form_are_sent_as_path_and_query, asterisk_is_never_rewritten,
          prefix_is_replaced_without_doubling_or_losing_slashes, path_replaces_all_but_the_query,
          regex_replaces_what_it_matched, regex_result_is_a_path_again,
          regex_that_gives_up_is_a_limit, full_arena_is_told)
