#include "server/explain.h"

#include "server/rehearsal.h"
#include "server_case.h"

struct explaining {
    struct rehearsal rehearsal;
    struct notes *notes;
    struct explanation it;
    struct text shown;
    const char *why;
    enum err err;
};

static void open_yaml(struct explaining *e, const char *yaml)
{
    const char *path = case_file(yaml);
    enum err err;

    e->notes = notes_new();
    err = rehearsal_start(&e->rehearsal, &(struct gateway_source){.path = path}, e->notes);
    unlink(path);
    ck_assert_int_eq(err, OK);
    text_init(&e->shown, CASE_BYTES);
}

static void ask(struct explaining *e, const char *method, const char *url, const char *field)
{
    const struct explain_asked asked = {
        .method = method, .url = url, .field = &field, .n_fields = field ? 1 : 0};

    e->err = explain_request(&e->it, e->rehearsal.snapshot, e->notes, &asked, &e->why);
}

static void end_ask(struct explaining *e)
{
    explain_fini(&e->it);
    text_reset(&e->shown);
}

static void close_yaml(struct explaining *e)
{
    text_fini(&e->shown);
    rehearsal_stop(&e->rehearsal);
    notes_free(&e->notes);
}

#define YAML                                                                                       \
    "listeners: [ { name: edge, bind: \"127.0.0.1:0\" } ]\n"                                       \
    "upstreams:\n"                                                                                 \
    "  app: { endpoints: [ \"127.0.0.1:9000\" ], timeout: { response: 7s } }\n"                    \
    "routes:\n"                                                                                    \
    "  - name: slow\n"                                                                             \
    "    match: { path: /slow, fields: { x-v: \"2\" } }\n"                                         \
    "    upstream: app\n"                                                                          \
    "    rewrite: { path_prefix: /fast, host: inner }\n"                                           \
    "    timeout: { total: 90s }\n"                                                                \
    "  - { name: puts, match: { path: /only, methods: [ PUT ] }, echo: true }\n"                   \
    "  - { name: away, match: { path: /away }, redirect: { host: b.example } }\n"

START_TEST(a_request_is_made_as_the_gateway_makes_it)
{
    struct explaining e;

    open_yaml(&e, YAML);
    ask(&e, "GET", "http://a.example:81/x/..//slow/%7eme?q=1#part", "X-V: 2");
    ck_assert_int_eq(e.err, OK);
    ck_assert(span_equal(e.it.request.path, SPAN("/slow/~me")));
    ck_assert(span_equal(e.it.request.query, SPAN("q=1")));
    ck_assert(span_equal(e.it.request.authority, SPAN("a.example:81")));
    ck_assert_int_eq(e.it.answer, ROUTE_FOUND);
    ck_assert(span_equal(e.it.route->name, SPAN("slow")));
    ck_assert(span_equal(e.it.target, SPAN("/fast/~me?q=1")));
    end_ask(&e);
    close_yaml(&e);
}
END_TEST

START_TEST(each_value_tells_where_it_was_written)
{
    struct explaining e;

    open_yaml(&e, YAML);
    ask(&e, "GET", "/slow", "x-v: 2");
    explain_print(&e.it, &e.shown);
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "response timeout  7s        upstream app, /tmp/"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "total timeout     90s       route slow, /tmp/"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "connect timeout   2s        upstream app, default"));
    ck_assert_ptr_nonnull(
        strstr(e.shown.ptr, "body limit        no limit  listener edge, default"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "host         inner\n"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "endpoints    127.0.0.1:9000 weight 1\n"));
    end_ask(&e);
    close_yaml(&e);
}
END_TEST

START_TEST(a_near_route_tells_why_it_was_not_chosen)
{
    struct explaining e;

    open_yaml(&e, YAML);
    ask(&e, "GET", "/slow", NULL);
    ck_assert_int_eq(e.it.answer, ROUTE_NONE);
    ck_assert_uint_eq(e.it.n_near, 3);
    explain_print(&e.it, &e.shown);
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "no route: 404 (not_found)"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "field x-v is absent, wants '2'"));
    end_ask(&e);
    close_yaml(&e);
}
END_TEST

START_TEST(a_wrong_method_tells_the_allowed_ones)
{
    struct explaining e;

    open_yaml(&e, YAML);
    ask(&e, "GET", "/only", NULL);
    ck_assert_int_eq(e.it.answer, ROUTE_METHOD);
    explain_print(&e.it, &e.shown);
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "405 (method_not_allowed), allowed: PUT"));
    end_ask(&e);
    close_yaml(&e);
}
END_TEST

START_TEST(a_redirect_tells_its_location)
{
    struct explaining e;

    open_yaml(&e, YAML);
    ask(&e, "GET", "http://a.example/away?x=1", NULL);
    ck_assert(span_equal(e.it.location, SPAN("http://b.example/away?x=1")));
    end_ask(&e);
    close_yaml(&e);
}
END_TEST

START_TEST(far_routes_are_only_counted)
{
    struct explaining e;
    struct text yaml;

    text_init(&yaml, CASE_BYTES);
    text_add(&yaml, SPAN("routes:\n"));
    for (unsigned i = 0; i < 25; i++)
        text_format(&yaml, "  - { match: { path: /p%u }, echo: true }\n", i);
    open_yaml(&e, yaml.ptr);
    ask(&e, "GET", "/p3", NULL);
    ck_assert_uint_eq(e.it.n_near, EXPLAIN_NEAR);
    ck_assert_uint_eq(e.it.n_more, 24 - EXPLAIN_NEAR);
    end_ask(&e);
    close_yaml(&e);
    text_fini(&yaml);
}
END_TEST

START_TEST(what_the_gateway_would_refuse_is_refused_in_words)
{
    static const struct {
        const char *method, *url, *field;
    } wrong[] = {
        {"GET", "nowhere", NULL},  {"GET", "", NULL},           {"GET", "/a/../../b", NULL},
        {"GET", "/%zz", NULL},     {"GET", "/?a=%2", NULL},     {"GET", "http://", NULL},
        {"G T", "/", NULL},        {"CONNECT", "/", NULL},      {"GET", "http://a:x/", NULL},
        {"GET", "/", "no colon"},  {"GET", "/", "bad name: x"}, {"GET", "/", "Host: a b"},
        {"GET", "ftp://a/", NULL}, {"GET", "/", "x-a: \001"}};
    struct explaining e;

    open_yaml(&e, YAML);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ask(&e, wrong[i].method, wrong[i].url, wrong[i].field);
        ck_assert_msg(e.err == ERR_PROTOCOL, "%s %s", wrong[i].method, wrong[i].url);
        ck_assert_uint_gt(strlen(e.why), 0);
        end_ask(&e);
    }
    close_yaml(&e);
}
END_TEST

START_TEST(secrets_are_not_shown)
{
    static const char yaml[] =
        "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n"
        "routes:\n"
        "  - upstream: app\n"
        "    request_fields: { set: { authorization: hush, x-token: \"file:%s\", x-a: open } }\n";
    struct explaining e;
    struct text text;
    char path[64];

    snprintf(path, sizeof(path), "%s", case_file("hush\n"));
    text_init(&text, CASE_BYTES);
    text_add(&text, span_make(yaml, (size_t)(strstr(yaml, "%s") - yaml)));
    text_add(&text, span_of(path));
    text_add(&text, span_of(strstr(yaml, "%s") + 2));
    open_yaml(&e, text.ptr);
    unlink(path);
    ask(&e, "GET", "/", NULL);
    ck_assert_uint_eq(e.it.route->request_edits.n, 3);
    ck_assert(span_equal(e.it.route->request_edits.edit[1].value, SPAN("hush")));
    explain_print(&e.it, &e.shown);
    explain_print_json(&e.it, &e.shown);
    ck_assert_ptr_null(strstr(e.shown.ptr, "hush"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "set x-token: ***"));
    ck_assert_ptr_nonnull(strstr(e.shown.ptr, "set x-a: open"));
    end_ask(&e);
    close_yaml(&e);
    text_fini(&text);
}
END_TEST

UNIT_MAIN("server/explain", a_request_is_made_as_the_gateway_makes_it,
          each_value_tells_where_it_was_written, a_near_route_tells_why_it_was_not_chosen,
          a_wrong_method_tells_the_allowed_ones, a_redirect_tells_its_location,
          far_routes_are_only_counted, what_the_gateway_would_refuse_is_refused_in_words,
          secrets_are_not_shown)
