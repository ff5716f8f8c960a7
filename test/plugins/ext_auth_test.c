/* ext_auth: what the service is told, what its answer does, what happens without one. */
#include "sluice_test.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define REQUEST SLUICE_REQUEST
#define TARGET  "target=http://auth.example/check"

/* What the service was told last, and what it says. */
struct service {
    struct sluice_test_http answer;
    char method[16], url[256], body[64], fields[2048]; /* fields: "\nname: value" each */
    uint32_t timeout_ms, max_body;
};

static void serve(void *service_, const char *url, const struct sluice_http_request *request,
                  struct sluice_test_http *answer)
{
    struct service *service = service_;
    size_t len = 0;

    snprintf(service->url, sizeof(service->url), "%s", url);
    snprintf(service->method, sizeof(service->method), "%.*s", (int)request->method.len,
             request->method.ptr);
    snprintf(service->body, sizeof(service->body), "%.*s", (int)request->body.len,
             request->body.ptr ? request->body.ptr : "");
    service->fields[0] = '\0';
    for (size_t i = 0; i < request->n_fields; i++) {
        const struct sluice_pair *field = &request->fields[i];

        len += (size_t)snprintf(service->fields + len, sizeof(service->fields) - len,
                                "\n%.*s: %.*s", (int)field->name.len, field->name.ptr,
                                (int)field->value.len, field->value.ptr);
    }
    service->timeout_ms = request->timeout_ms;
    service->max_body = request->max_body;
    *answer = service->answer;
}

static bool was_told(const struct service *service, const char *line)
{
    const char *at = strstr(service->fields, line);

    return at && at[-1] == '\n' && (at[strlen(line)] == '\n' || at[strlen(line)] == '\0');
}

static const struct sluice_pair pass_fields[] = {
    {SLUICE_SPAN_INIT("x-user"), SLUICE_SPAN_INIT("alice")},
    {SLUICE_SPAN_INIT("x-role"), SLUICE_SPAN_INIT("reader")},
    {SLUICE_SPAN_INIT("x-role"), SLUICE_SPAN_INIT("writer")},
    {SLUICE_SPAN_INIT("x-groups"), SLUICE_SPAN_INIT("staff,ops")},
    {SLUICE_SPAN_INIT("x-tenant"), SLUICE_SPAN_INIT("blue")},
    {SLUICE_SPAN_INIT("x-notice"), SLUICE_SPAN_INIT("a")},
    {SLUICE_SPAN_INIT("x-notice"), SLUICE_SPAN_INIT("b")},
};

static const struct sluice_pair deny_fields[] = {
    {SLUICE_SPAN_INIT("www-authenticate"), SLUICE_SPAN_INIT("Bearer realm=\"x\"")},
    {SLUICE_SPAN_INIT("content-type"), SLUICE_SPAN_INIT("text/html")},
    {SLUICE_SPAN_INIT("x-secret"), SLUICE_SPAN_INIT("inside")},
    {SLUICE_SPAN_INIT("set-cookie"), SLUICE_SPAN_INIT("a=1")},
    {SLUICE_SPAN_INIT("set-cookie"), SLUICE_SPAN_INIT("b=2")},
};

static struct service service_of(uint32_t status)
{
    struct service service = {.answer = {.end = SLUICE_HTTP_OK, .status = status}};

    if (status < 300) {
        service.answer.fields = pass_fields;
        service.answer.n_fields = sizeof(pass_fields) / sizeof(pass_fields[0]);
    } else {
        service.answer.fields = deny_fields;
        service.answer.n_fields = sizeof(deny_fields) / sizeof(deny_fields[0]);
        service.answer.body = SLUICE_SPAN("<p>no</p>");
    }
    return service;
}

static enum sluice_verdict run(struct sluice_exchange *ex)
{
    return sluice_test_request_head(ex) == SLUICE_WAIT ? sluice_test_settle(ex)
                                                       : sluice_test_verdict(ex);
}

static struct sluice_exchange *bearing(struct sluice_test *test, const char *token)
{
    struct sluice_exchange *ex = sluice_test_request(test, "PUT", "/a/b?x=1");

    if (token)
        sluice_test_field_add(ex, REQUEST, "Authorization", token);
    return ex;
}

static int requests(const struct sluice_test *test, const char *result)
{
    return (int)sluice_test_metric(test, "requests_total", result);
}

START_TEST(the_service_is_told_what_it_must_know)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, TARGET, "timeout=300ms", "max_answer=1KiB", NULL);
    struct service service = service_of(200);
    struct sluice_exchange *ex = bearing(test, "Bearer t");

    sluice_test_on_http(test, serve, &service);
    sluice_test_field_add(ex, REQUEST, "Cookie", "a=b");
    sluice_test_field_add(ex, REQUEST, "X-Other", "o");
    sluice_test_field_add(ex, REQUEST, "X-Original-URI", "/public");
    sluice_test_field_add(ex, REQUEST, "Content-Type", "text/plain");
    sluice_test_attribute_set(ex, "request.id", "r-1");
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(service.method, "GET");
    ck_assert_str_eq(service.url, "http://auth.example/check");
    ck_assert_str_eq(service.fields, "\nX-Original-Method: PUT"
                                     "\nX-Original-URI: /a/b?x=1"
                                     "\nX-Forwarded-Method: PUT"
                                     "\nX-Forwarded-Proto: http"
                                     "\nX-Forwarded-Host: example.com"
                                     "\nX-Forwarded-Uri: /a/b?x=1"
                                     "\nX-Forwarded-For: 192.0.2.1"
                                     "\nX-Request-ID: r-1"
                                     "\nAuthorization: Bearer t"
                                     "\nCookie: a=b");
    ck_assert_uint_eq(service.timeout_ms, 300);
    ck_assert_uint_eq(service.max_body, 1024);
    ck_assert_str_eq(service.body, "");
    ck_assert_str_eq(sluice_test_attribute(ex, "auth.method"), "ext_auth");
    ck_assert_int_eq((int)sluice_test_metric(test, "calls_total", "ok"), 1);
    ck_assert_int_eq((int)sluice_test_metric_count(test, "call_seconds", NULL), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_star_sends_all_but_what_is_of_one_connection)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, TARGET, "fields=['*']", "method=original", NULL);
    struct service service = service_of(200);
    struct sluice_exchange *ex = bearing(test, "Bearer t");

    sluice_test_on_http(test, serve, &service);
    sluice_test_field_add(ex, REQUEST, "X-Other", "o");
    sluice_test_field_add(ex, REQUEST, "x_original_uri", "/public");
    sluice_test_field_add(ex, REQUEST, "X-Forwarded-For", "9.9.9.9");
    sluice_test_field_add(ex, REQUEST, "Forwarded", "for=9.9.9.9");
    sluice_test_field_add(ex, REQUEST, "Host", "evil");
    sluice_test_field_add(ex, REQUEST, "Expect", "100-continue");
    sluice_test_field_add(ex, REQUEST, "Content-Length", "9");
    sluice_test_field_add(ex, REQUEST, "Content-Type", "text/plain");
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(service.method, "PUT");
    ck_assert(was_told(&service, "X-Other: o"));
    ck_assert(was_told(&service, "Authorization: Bearer t"));
    ck_assert(was_told(&service, "X-Forwarded-For: 192.0.2.1"));
    ck_assert_ptr_null(strstr(service.fields, "9.9.9.9"));
    ck_assert_ptr_null(strstr(service.fields, "public"));
    ck_assert_ptr_null(strstr(service.fields, "evil"));
    ck_assert_ptr_null(strstr(service.fields, "Expect"));
    ck_assert_ptr_null(strstr(service.fields, "Content-"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_path_may_be_appended)
{
    static const char *const cases[][2] = {
        {"target=http://auth.example", "http://auth.example/a/b?x=1"},
        {"target=http://auth.example/v1/?q=1", "http://auth.example/v1/a/b?x=1"},
        {"target=auth/v1", "auth/v1/a/b?x=1"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, cases[i][0], "append_path=true", NULL);
        struct service service = service_of(200);

        sluice_test_on_http(test, serve, &service);
        ck_assert_int_eq(run(bearing(test, NULL)), SLUICE_NEXT);
        ck_assert_msg(strstr(service.url, strstr(cases[i][1], "/a/b")) != NULL, "%s", service.url);
        if (i > 0)
            ck_assert_msg(strstr(service.url, "/v1/a/b?x=1") != NULL, "%s", service.url);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(its_fields_go_where_the_options_say)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, TARGET, "upstream_fields=[X-User, X-Role, X-None]",
                            "client_fields=[X-Notice]", "consumer_field=X-User",
                            "groups_field=x-groups", "attributes={auth.tenant: X-Tenant}", NULL);
    struct service service = service_of(204);
    struct sluice_exchange *ex = bearing(test, "Bearer t");

    sluice_test_on_http(test, serve, &service);
    sluice_test_field_add(ex, REQUEST, "x_user", "root");
    sluice_test_field_add(ex, REQUEST, "X-Role", "root");
    sluice_test_field_add(ex, REQUEST, "X-None", "root");
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "alice");
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "x_user"));
    ck_assert_uint_eq(sluice_test_field_count(ex, REQUEST, "X-Role"), 2);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-Role"), "reader");
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-None"));
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-Tenant"));
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "alice");
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.groups"), "staff,ops");
    ck_assert_str_eq(sluice_test_attribute(ex, "auth.tenant"), "blue");
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "X-Notice"), 2);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "X-Notice"), "a");
    ck_assert_int_eq(requests(test, "allowed"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_refusal_is_the_services)
{
    const struct {
        uint32_t status;
        const char *word;
    } cases[] = {
        {401, "ext_auth_unauthorized"}, {403, "ext_auth_denied"}, {302, "ext_auth_denied"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, TARGET, "failure_mode=open", NULL);
        struct service service = service_of(cases[i].status);
        struct sluice_exchange *ex = bearing(test, NULL);

        sluice_test_on_http(test, serve, &service);
        ck_assert_int_eq(run(ex), SLUICE_REPLIED);
        ck_assert_uint_eq(sluice_test_reply(ex)->status, cases[i].status);
        ck_assert_str_eq(sluice_test_reply(ex)->reason, cases[i].word);
        ck_assert_str_eq(sluice_test_reply(ex)->content_type, "text/html");
        ck_assert_uint_eq(sluice_test_reply(ex)->body.len, 9);
        ck_assert_mem_eq(sluice_test_reply(ex)->body.ptr, "<p>no</p>", 9);
        ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"),
                         "Bearer realm=\"x\"");
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "Set-Cookie"), 2);
        ck_assert_ptr_null(sluice_test_field(ex, SLUICE_RESPONSE, "X-Secret"));
        ck_assert_ptr_null(sluice_test_attribute(ex, "auth.method"));
        ck_assert_int_eq(requests(test, "denied"), 1);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(without_an_answer_the_options_decide)
{
    const struct {
        uint32_t end, status, delay_ms;
        const char *call;
        bool may_pass;
    } cases[] = {
        {SLUICE_HTTP_UNREACHABLE, 0, 0, "unreachable", true},
        {SLUICE_HTTP_BROKEN, 0, 0, "broken", true},
        {SLUICE_HTTP_OK, 200, 5000, "timeout", true},
        {SLUICE_HTTP_OK, 500, 0, "error", true},
        {SLUICE_HTTP_OK, 503, 0, "error", true},
        {SLUICE_HTTP_TOO_LARGE, 0, 0, "too_large", false},
    };

    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = sluice_test_started(
            &sluice_plugin, TARGET, i % 2 ? "failure_mode=open" : "failure_mode=closed",
            "failure_status=502", "upstream_fields=[X-User]", NULL);
        struct service service = {.answer = {.end = cases[i / 2].end,
                                             .status = cases[i / 2].status,
                                             .delay_ms = cases[i / 2].delay_ms}};
        struct sluice_exchange *ex = bearing(test, NULL);

        sluice_test_on_http(test, serve, &service);
        sluice_test_field_add(ex, REQUEST, "X-User", "root");
        if (i % 2 && cases[i / 2].may_pass) {
            ck_assert_int_eq(run(ex), SLUICE_NEXT);
            ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-User"));
            ck_assert_ptr_null(sluice_test_attribute(ex, "auth.method"));
            ck_assert_str_eq(sluice_test_notes(ex), "ext_auth_failed");
            ck_assert_int_eq(requests(test, "failed_open"), 1);
        } else {
            ck_assert_int_eq(run(ex), SLUICE_REPLIED);
            ck_assert_uint_eq(sluice_test_reply(ex)->status, 502);
            ck_assert_str_eq(sluice_test_reply(ex)->reason, "ext_auth_failed");
            ck_assert_int_eq(requests(test, "failed"), 1);
        }
        ck_assert_int_eq((int)sluice_test_metric(test, "calls_total", cases[i / 2].call), 1);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(content_is_sent_when_asked_for)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, TARGET, "body=16", "method=post", NULL);
    struct service service = service_of(200);
    struct sluice_exchange *ex = bearing(test, NULL);

    sluice_test_on_http(test, serve, &service);
    sluice_test_field_add(ex, REQUEST, "Content-Type", "text/plain");
    sluice_test_fact_set(ex, SLUICE_FACT_REQUEST_LENGTH, 5);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_http_calls(test), 0);
    (void)sluice_test_request_body(ex, SLUICE_SPAN("he"), false);
    ck_assert_int_eq(sluice_test_request_body(ex, SLUICE_SPAN("llo"), true), SLUICE_WAIT);
    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_NEXT);
    ck_assert_str_eq(service.body, "hello");
    ck_assert_str_eq(service.method, "POST");
    ck_assert(was_told(&service, "Content-Type: text/plain"));

    ex = bearing(test, NULL); /* without content it is asked about at once */
    sluice_test_fact_set(ex, SLUICE_FACT_REQUEST_LENGTH, 0);
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(service.body, "");
    ck_assert_uint_eq(sluice_test_http_calls(test), 2);
    sluice_test_free(&test);
}
END_TEST

/* -- what is remembered ------------------------------------------------------------ */

#define KEYED "cache={key: '${request.field.authorization}', ttl: 10s, denied_ttl: 5s}"

START_TEST(a_decision_is_remembered_by_its_key)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, TARGET, KEYED, "upstream_fields=[X-User]",
                            "client_fields=[X-Notice]", "consumer_field=X-User", NULL);
    struct service service = service_of(200);
    struct sluice_exchange *ex;

    sluice_test_on_http(test, serve, &service);
    ck_assert_int_eq(run(bearing(test, "Bearer a")), SLUICE_NEXT);
    for (int i = 0; i < 3; i++) {
        ex = bearing(test, "Bearer a");
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "alice");
        ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "alice");
        ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "X-Notice"), 2);
    }
    ck_assert_uint_eq(sluice_test_http_calls(test), 1);
    ck_assert_int_eq(requests(test, "cached_allowed"), 3);
    ck_assert_int_eq(run(bearing(test, "Bearer b")), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_http_calls(test), 2);
    sluice_test_advance(test, 10001);
    ck_assert_int_eq(run(bearing(test, "Bearer a")), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_http_calls(test), 3);
    /* an empty key is nobody's */
    ck_assert_int_eq(run(bearing(test, NULL)), SLUICE_NEXT);
    ck_assert_int_eq(run(bearing(test, NULL)), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_http_calls(test), 5);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_refusal_is_remembered_for_its_own_time)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, TARGET, KEYED, NULL);
    struct service service = service_of(403);
    struct sluice_exchange *ex;

    service.answer.n_fields = 2; /* without cookies, which are for one client */
    sluice_test_on_http(test, serve, &service);
    for (int i = 0; i < 3; i++) {
        ex = bearing(test, "Bearer a");
        ck_assert_int_eq(run(ex), SLUICE_REPLIED);
        ck_assert_uint_eq(sluice_test_reply(ex)->status, 403);
        ck_assert_mem_eq(sluice_test_reply(ex)->body.ptr, "<p>no</p>", 9);
        ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"),
                         "Bearer realm=\"x\"");
    }
    ck_assert_uint_eq(sluice_test_http_calls(test), 1);
    sluice_test_advance(test, 5001);
    ck_assert_int_eq(run(bearing(test, "Bearer a")), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_http_calls(test), 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(failures_and_cookies_are_not_remembered)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, TARGET, KEYED, NULL);
    struct service service = service_of(403);

    sluice_test_on_http(test, serve, &service);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(run(bearing(test, "Bearer a")), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_http_calls(test), 2);
    service = service_of(500);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(run(bearing(test, "Bearer b")), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_http_calls(test), 4);
    sluice_test_free(&test);
}
END_TEST

START_TEST(cache_control_is_heeded_when_asked_for)
{
    const struct {
        const char *value;
        uint32_t alive_ms; /* for so long, and not for a second more */
    } cases[] = {
        {"max-age=3", 2900},
        {"private, Max-Age=3", 2900},
        {"max-age=99999999999", 9900},
        {"max-age=60", 9900},
        {"public", 9900},
        {"no-store", 0},
        {"no-cache, max-age=9", 0},
        {"max-age=x", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = sluice_test_started(
            &sluice_plugin, TARGET,
            "cache={key: '${request.field.authorization}', ttl: 10s, cache_control: true}", NULL);
        struct sluice_pair field = {SLUICE_SPAN("cache-control"),
                                    {cases[i].value, strlen(cases[i].value)}};
        struct service service = {
            .answer = {.end = SLUICE_HTTP_OK, .status = 200, .fields = &field, .n_fields = 1}};

        sluice_test_on_http(test, serve, &service);
        ck_assert_int_eq(run(bearing(test, "a")), SLUICE_NEXT);
        sluice_test_advance(test, cases[i].alive_ms);
        ck_assert_int_eq(run(bearing(test, "a")), SLUICE_NEXT);
        ck_assert_msg(sluice_test_http_calls(test) == (cases[i].alive_ms > 0 ? 1 : 2), "%zu", i);
        if (cases[i].alive_ms > 0) {
            sluice_test_advance(test, 1000);
            ck_assert_int_eq(run(bearing(test, "a")), SLUICE_NEXT);
            ck_assert_uint_eq(sluice_test_http_calls(test), 2);
        }
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(a_full_cache_goes_on_working)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, TARGET, "cache={key: '${request.field.authorization}', size: 1}", NULL);
    struct service service = service_of(200);

    sluice_test_on_http(test, serve, &service);
    for (int i = 0; i < 50; i++) {
        char token[16];

        snprintf(token, sizeof(token), "t%d", i);
        ck_assert_int_eq(run(bearing(test, token)), SLUICE_NEXT);
        ck_assert_int_eq(run(bearing(test, token)), SLUICE_NEXT);
    }
    ck_assert_uint_eq(sluice_test_http_calls(test), 50);
    ck_assert_int_eq(requests(test, "cached_allowed"), 50);
    sluice_test_free(&test);
}
END_TEST

/* -- mistakes, and no room ----------------------------------------------------------- */

START_TEST(mistakes_in_options_are_told)
{
    const char *const cases[][3] = {
        /* options, and a part of the error */
        {"timeout=1s", NULL, "target"},
        {TARGET, "upstream_fields=['a b']", "name of a field"},
        {TARGET, "upstream_fields=[Content-Length]", "gateway's own"},
        {TARGET, "client_fields=[Connection]", "gateway's own"},
        {TARGET, "body=1KiB", "a GET carries no content"},
        {TARGET, "attributes={'a b': X}", "letters, digits"},
        {TARGET, "consumer_field='a:b'", "name of a field"},
        {TARGET, "failure_status=200", "failure_status"},
        {TARGET, "cache={ttl: 1s}", "key"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, cases[i][0]);
        if (cases[i][1])
            sluice_test_set(test, cases[i][1]);
        ck_assert_msg(!sluice_test_check(test), "%zu", i);
        ck_assert_msg(strstr(sluice_test_errors(test), cases[i][2]) != NULL, "%zu: %s", i,
                      sluice_test_errors(test));
        sluice_test_free(&test);
    }
}
END_TEST

/* With each service of the gateway failing in turn, for an answer of that status. */
static void run_out_of_room(uint32_t status, enum sluice_verdict last)
{
    for (uint64_t n = 1; n < 100; n++) {
        struct sluice_test *test = sluice_test_started(
            &sluice_plugin, TARGET, "upstream_fields=[X-User, X-Role]", "client_fields=[X-Notice]",
            "consumer_field=X-User", "append_path=true", KEYED, NULL);
        struct service service = service_of(status);
        struct sluice_exchange *ex = bearing(test, "Bearer t");
        enum sluice_verdict verdict;
        bool has_failed;

        sluice_test_on_http(test, serve, &service);
        sluice_test_field_add(ex, REQUEST, "X-User", "root");
        sluice_test_fail_nth(test, n);
        verdict = run(ex);
        has_failed = sluice_test_has_failed(test);
        sluice_test_fail_nth(test, 0);
        if (verdict == SLUICE_NEXT) {
            ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "alice");
            ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "alice");
        }
        sluice_test_free(&test);
        if (!has_failed) {
            ck_assert_int_eq(verdict, last);
            return;
        }
    }
    ck_abort_msg("it never ends");
}

START_TEST(running_out_of_room_lets_nobody_in_untold)
{
    run_out_of_room(200, SLUICE_NEXT);
    run_out_of_room(403, SLUICE_REPLIED);
}
END_TEST

UNIT_MAIN("plugins/ext_auth", the_service_is_told_what_it_must_know,
          a_star_sends_all_but_what_is_of_one_connection, the_path_may_be_appended,
          its_fields_go_where_the_options_say, a_refusal_is_the_services,
          without_an_answer_the_options_decide, content_is_sent_when_asked_for,
          a_decision_is_remembered_by_its_key, a_refusal_is_remembered_for_its_own_time,
          failures_and_cookies_are_not_remembered, cache_control_is_heeded_when_asked_for,
          a_full_cache_goes_on_working, mistakes_in_options_are_told,
          running_out_of_room_lets_nobody_in_untold)
