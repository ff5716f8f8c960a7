#include "http/message.h"

#include "http/h1_parse.h"

#include "unit.h"

#include <string.h>

static const struct h1_limits usual = {8192, 16384, 40};

START_TEST(methods_are_found_in_capitals_only)
{
    for (enum method method = METHOD_GET; method <= METHOD_PATCH; method++)
        ck_assert_uint_eq(method_find(span_of(method_name(method))), method);
    ck_assert_uint_eq(method_find(SPAN("get")), METHOD_OTHER);
    ck_assert_uint_eq(method_find(SPAN("GETS")), METHOD_OTHER);
    ck_assert_uint_eq(method_find(SPAN("GE")), METHOD_OTHER);
    ck_assert_uint_eq(method_find(SPAN("")), METHOD_OTHER);
    ck_assert_str_eq(method_name(METHOD_OTHER), "");
}
END_TEST

START_TEST(methods_are_safe_and_idempotent_as_the_rfc_says)
{
    for (enum method method = METHOD_OTHER; method <= METHOD_PATCH; method++) {
        bool is_safe = method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
                       method == METHOD_TRACE;

        ck_assert_int_eq(method_is_safe(method), is_safe);
        ck_assert_int_eq(method_is_idempotent(method),
                         is_safe || method == METHOD_PUT || method == METHOD_DELETE);
    }
}
END_TEST

START_TEST(statuses_have_their_reason)
{
    ck_assert_str_eq(status_reason(200), "OK");
    ck_assert_str_eq(status_reason(100), "Continue");
    ck_assert_str_eq(status_reason(511), "Network Authentication Required");
    ck_assert_str_eq(status_reason(599), "");
    ck_assert_str_eq(status_reason(0), "");
}
END_TEST

static bool is_inside(struct sluice_span part, const char *begin, size_t len)
{
    return part.ptr >= begin && part.ptr + part.len <= begin + len;
}

START_TEST(a_kept_request_no_longer_needs_the_bytes)
{
    char bytes[] = "GET http://b/p?q HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n";
    struct sluice_span whole = {bytes, sizeof(bytes) - 1};
    struct field_line lines[4];
    struct request request = {.fields = {.line = lines, .cap = 4}};
    struct h1_scan scan = {0};
    struct arena arena;
    size_t head_bytes;

    arena_init(&arena, NULL, 0);
    ck_assert_int_eq(h1_parse_request(&scan, whole, &usual, &request, &head_bytes), H1_DONE);
    ck_assert(fields_add(&request.fields, SPAN("Added"), SPAN("z")) == OK);
    ck_assert(request_keep(&request, whole, &arena) == OK);
    memset(bytes, '!', sizeof(bytes));
    memset(lines, 0xa5, sizeof(lines));
    ck_assert(span_equal(request.method_text, SPAN("GET")));
    ck_assert(span_equal(request.target, SPAN("http://b/p?q")));
    ck_assert(span_equal(request.scheme, SPAN("http")));
    ck_assert(span_equal(request.authority, SPAN("b")));
    ck_assert(span_equal(request.path, SPAN("/p")));
    ck_assert(span_equal(request.query, SPAN("q")));
    ck_assert(span_equal(field_value(fields_find(&request.fields, FIELD_HOST)), SPAN("b")));
    ck_assert(span_equal(field_name(&request.fields.line[2]), SPAN("Added")));
    ck_assert(!is_inside(request.target, bytes, sizeof(bytes)));
    for (unsigned i = 0; i < 50; i++) /* and the table grows on */
        ck_assert(fields_add(&request.fields, SPAN("More"), SPAN("z")) == OK);
    ck_assert(span_equal(field_value(&request.fields.line[1]), SPAN("y")));
    arena_fini(&arena);
}
END_TEST

START_TEST(what_is_not_in_the_bytes_stays_where_it_is)
{
    char bytes[] = "GET http://b HTTP/1.1\r\nHost: b\r\n\r\n";
    struct sluice_span whole = {bytes, sizeof(bytes) - 1};
    struct field_line lines[4];
    struct request request = {.fields = {.line = lines, .cap = 4}};
    struct h1_scan scan = {0};
    struct arena arena;
    const char *path;
    size_t head_bytes;

    arena_init(&arena, NULL, 0);
    ck_assert_int_eq(h1_parse_request(&scan, whole, &usual, &request, &head_bytes), H1_DONE);
    path = request.path.ptr;
    ck_assert(request_keep(&request, whole, &arena) == OK);
    ck_assert_ptr_eq(request.path.ptr, path);
    arena_fini(&arena);
}
END_TEST

START_TEST(a_kept_response_no_longer_needs_the_bytes)
{
    char bytes[] = "HTTP/1.1 200 Fine\r\nServer: b\r\n\r\n";
    struct sluice_span whole = {bytes, sizeof(bytes) - 1};
    struct field_line lines[4];
    struct response response = {.fields = {.line = lines, .cap = 4}};
    struct h1_scan scan = {0};
    struct arena arena;
    size_t head_bytes;

    arena_init(&arena, NULL, 0);
    ck_assert_int_eq(h1_parse_response(&scan, whole, &usual, METHOD_GET, &response, &head_bytes),
                     H1_DONE);
    ck_assert(response_keep(&response, whole, &arena) == OK);
    memset(bytes, '!', sizeof(bytes));
    ck_assert(span_equal(response.reason, SPAN("Fine")));
    ck_assert(span_equal(field_value(fields_find(&response.fields, FIELD_SERVER)), SPAN("b")));
    arena_fini(&arena);
}
END_TEST

START_TEST(keeping_in_a_full_arena_is_told)
{
    struct request request = {0};
    struct response response = {0};
    struct arena arena;

    arena_init(&arena, NULL, 1);
    ck_assert_int_eq(request_keep(&request, SPAN("GET"), &arena), ERR_MEMORY);
    ck_assert_int_eq(response_keep(&response, SPAN("HTTP"), &arena), ERR_MEMORY);
    arena_fini(&arena);
}
END_TEST

UNIT_MAIN("http/message", methods_are_found_in_capitals_only,
          methods_are_safe_and_idempotent_as_the_rfc_says, statuses_have_their_reason,
          a_kept_request_no_longer_needs_the_bytes, what_is_not_in_the_bytes_stays_where_it_is,
          a_kept_response_no_longer_needs_the_bytes, keeping_in_a_full_arena_is_told)
