#include "http/h2_head.h"

#include "unit.h"

#include <string.h>

enum { LINES = 64 };

static const struct h2_settings settings = {
    .line_bytes = 100, .head_bytes = 1000, .field_count = 10, .extended_connect = true};

struct pair {
    const char *name, *value;
};

static const struct pair usual[] = {
    {":method", "GET"}, {":scheme", "http"}, {":path", "/a?b"}, {":authority", "www.test"}};

struct scene {
    struct h2_head head;
    struct field_line lines[LINES];
    struct request request;
    struct response response;
};

static enum err add(struct scene *scene, const char *name, const char *value)
{
    return h2_head_add(&scene->head, span_of(name), span_of(value));
}

static void begin(struct scene *scene)
{
    h2_head_begin(&scene->head, H2_SECTION_REQUEST, &settings);
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        ck_assert_int_eq(add(scene, usual[i].name, usual[i].value), OK);
}

static enum h1_rule finish(struct scene *scene, bool last)
{
    return h2_head_request(&scene->head, &settings, last, scene->lines, &scene->request);
}

static const struct field_line *find(const struct fields *fields, enum field_id id)
{
    return fields_find(fields, id);
}

START_TEST(h2_head_is_told_as_http_1_would)
{
    struct scene scene = {0};

    begin(&scene);
    ck_assert_int_eq(add(&scene, "x-one", "1"), OK);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_NONE);
    ck_assert_int_eq(scene.request.method, METHOD_GET);
    ck_assert(span_equal(scene.request.target, SPAN("/a?b")));
    ck_assert(span_equal(scene.request.path, SPAN("/a")));
    ck_assert(span_equal(scene.request.query, SPAN("b")));
    ck_assert(span_equal(scene.request.authority, SPAN("www.test")));
    ck_assert(span_equal(field_value(find(&scene.request.fields, FIELD_HOST)), SPAN("www.test")));
    ck_assert_int_eq(scene.request.framing, FRAMING_NONE);
    ck_assert_uint_eq(scene.request.minor, 1);
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_joins_the_crumbs_of_a_cookie)
{
    struct scene scene = {0};

    begin(&scene);
    ck_assert_int_eq(add(&scene, "cookie", "a=1"), OK);
    ck_assert_int_eq(add(&scene, "x", "y"), OK);
    ck_assert_int_eq(add(&scene, "cookie", "b=2"), OK);
    ck_assert_int_eq(add(&scene, "cookie", ""), OK);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_NONE);
    ck_assert(
        span_equal(field_value(find(&scene.request.fields, FIELD_COOKIE)), SPAN("a=1; b=2; ")));
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_frames_by_length_and_end)
{
    struct scene scene = {0};

    begin(&scene);
    ck_assert_int_eq(finish(&scene, false), H1_RULE_NONE);
    ck_assert_int_eq(scene.request.framing, FRAMING_CHUNKED);
    begin(&scene);
    ck_assert_int_eq(add(&scene, "content-length", "7"), OK);
    ck_assert_int_eq(finish(&scene, false), H1_RULE_NONE);
    ck_assert_int_eq(scene.request.framing, FRAMING_LENGTH);
    ck_assert_int_eq(scene.request.body_bytes, 7);
    begin(&scene);
    ck_assert_int_eq(add(&scene, "content-length", "7"), OK);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_CONTENT);
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_names_the_rule_that_is_broken)
{
    static const struct {
        struct pair pair;
        enum h1_rule rule;
    } broken[] = {
        {{"X", "1"}, H1_RULE_UPPER_CASE},          {{"", "1"}, H1_RULE_FIELD_NAME},
        {{"a b", "1"}, H1_RULE_FIELD_NAME},        {{"x", "a\r\nb"}, H1_RULE_FIELD_VALUE},
        {{"x", " a"}, H1_RULE_FIELD_VALUE},        {{"connection", "close"}, H1_RULE_HOP_FIELD},
        {{"te", "gzip"}, H1_RULE_HOP_FIELD},       {{"host", "other.test"}, H1_RULE_HOST_OTHER},
        {{"content-length", "x"}, H1_RULE_LENGTH}, {{":path", "/"}, H1_RULE_PSEUDO},
        {{":status", "200"}, H1_RULE_PSEUDO},      {{":protocol", "websocket"}, H1_RULE_PROTOCOL},
    };
    struct scene scene = {0};

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        begin(&scene);
        ck_assert_int_eq(add(&scene, broken[i].pair.name, broken[i].pair.value), OK);
        ck_assert_int_eq(add(&scene, "Y", "the first rule counts"), OK);
        if (broken[i].rule == H1_RULE_HOST_OTHER || broken[i].rule == H1_RULE_PROTOCOL) {
            begin(&scene); /* judged at the end */
            ck_assert_int_eq(add(&scene, broken[i].pair.name, broken[i].pair.value), OK);
        }
        ck_assert_int_eq(finish(&scene, true), broken[i].rule);
    }
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_without_any_line_is_refused)
{
    struct scene scene = {0};

    h2_head_begin(&scene.head, H2_SECTION_REQUEST, &settings);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_PSEUDO);
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_has_limits_and_an_end_of_patience)
{
    struct scene scene = {0};
    char long_value[500];
    enum err err = OK;

    memset(long_value, 'a', sizeof(long_value) - 1);
    long_value[sizeof(long_value) - 1] = '\0';
    begin(&scene);
    for (unsigned i = 0; i < 11; i++)
        ck_assert_int_eq(add(&scene, "x", "1"), OK);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_FIELD_COUNT);
    begin(&scene);
    ck_assert_int_eq(add(&scene, "x", long_value), OK);
    ck_assert_int_eq(add(&scene, "y", long_value), OK);
    ck_assert_int_eq(finish(&scene, true), H1_RULE_HEAD_BYTES);
    begin(&scene);
    for (unsigned i = 0; i < 8 && err == OK; i++)
        err = add(&scene, "x", long_value);
    ck_assert_int_eq(err, ERR_LIMIT);
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_of_a_response_is_framed_by_the_request)
{
    static const struct {
        const char *status;
        enum method method;
        bool last;
        enum h1_rule rule;
        enum framing framing;
    } known[] = {
        {"200", METHOD_GET, false, H1_RULE_NONE, FRAMING_CHUNKED},
        {"200", METHOD_GET, true, H1_RULE_NONE, FRAMING_LENGTH},
        {"200", METHOD_HEAD, false, H1_RULE_NONE, FRAMING_NONE},
        {"204", METHOD_GET, true, H1_RULE_NONE, FRAMING_NONE},
        {"103", METHOD_GET, false, H1_RULE_NONE, FRAMING_NONE},
        {"103", METHOD_GET, true, H1_RULE_STATUS, FRAMING_NONE},
        {"101", METHOD_GET, false, H1_RULE_STATUS, FRAMING_NONE},
        {"099", METHOD_GET, false, H1_RULE_STATUS, FRAMING_NONE},
        {"2000", METHOD_GET, false, H1_RULE_STATUS, FRAMING_NONE},
    };
    struct scene scene = {0};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        h2_head_begin(&scene.head, H2_SECTION_RESPONSE, &settings);
        ck_assert_int_eq(add(&scene, ":status", known[i].status), OK);
        ck_assert_int_eq(h2_head_response(&scene.head, known[i].method, known[i].last, scene.lines,
                                          &scene.response),
                         known[i].rule);
        if (known[i].rule == H1_RULE_NONE)
            ck_assert_int_eq(scene.response.framing, known[i].framing);
    }
    h2_head_fini(&scene.head);
}
END_TEST

START_TEST(h2_head_drops_trailers_that_may_not_trail)
{
    struct scene scene = {0};
    struct fields trailers = {0};

    h2_head_begin(&scene.head, H2_SECTION_TRAILERS, &settings);
    ck_assert_int_eq(add(&scene, "x-sum", "1"), OK);
    ck_assert_int_eq(add(&scene, "authorization", "1"), OK);
    ck_assert_int_eq(h2_head_trailers(&scene.head, scene.lines, &trailers), H1_RULE_NONE);
    ck_assert_uint_eq(trailers.n, 2);
    ck_assert_uint_eq(trailers.line[0].mark, 0);
    ck_assert_uint_eq(trailers.line[1].mark, FIELD_DROPPED);
    h2_head_begin(&scene.head, H2_SECTION_TRAILERS, &settings);
    ck_assert_int_eq(add(&scene, ":path", "/"), OK);
    ck_assert_int_eq(h2_head_trailers(&scene.head, scene.lines, &trailers), H1_RULE_PSEUDO);
    h2_head_fini(&scene.head);
}
END_TEST

UNIT_MAIN("http/h2_head", h2_head_is_told_as_http_1_would, h2_head_joins_the_crumbs_of_a_cookie,
          h2_head_frames_by_length_and_end, h2_head_names_the_rule_that_is_broken,
          h2_head_without_any_line_is_refused, h2_head_has_limits_and_an_end_of_patience,
          h2_head_of_a_response_is_framed_by_the_request, h2_head_drops_trailers_that_may_not_trail)
