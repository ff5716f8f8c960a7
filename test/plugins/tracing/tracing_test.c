/*
 * tracing: context in and out, what is sampled, and what spans say.
 */
#include "decode.h"
#include "sluice_test.h"

#include <stdlib.h>

#define TRACE   "0af7651916cd43dd8448eb211c80319c"
#define PARENT  "b7ad6b7169203331"
#define SAMPLED "00-" TRACE "-" PARENT "-01"
#define QUIET   "00-" TRACE "-" PARENT "-00"
#define URL     "endpoint=http://collector:4318/v1/traces"

enum { TRACE_ID = 1, SPAN_ID = 2, STATE = 3, PARENT_ID = 4, NAME = 5, KIND = 6, BEGUN = 7 };
enum { ENDED = 8, ATTRIBUTES = 9, STATUS = 15, FLAGS = 16, SERVER = 2, CLIENT = 3 };

/* -- a collector ------------------------------------------------------------------ */

/* Keeps the last message. */
struct collector {
    char url[128];
    char *body;
    size_t len;
    size_t n_calls, n_spans;
    char fields[512];
};

static void collect(void *arg, const char *url, const struct sluice_http_request *request,
                    struct sluice_test_http *answer)
{
    struct collector *collector = arg;
    size_t at = 0;

    snprintf(collector->url, sizeof(collector->url), "%.*s %s", (int)request->method.len,
             request->method.ptr, url);
    for (size_t i = 0; i < request->n_fields; i++)
        at +=
            (size_t)snprintf(collector->fields + at, sizeof(collector->fields) - at, "%.*s: %.*s\n",
                             (int)request->fields[i].name.len, request->fields[i].name.ptr,
                             (int)request->fields[i].value.len, request->fields[i].value.ptr);
    free(collector->body);
    collector->body = malloc(request->body.len);
    memcpy(collector->body, request->body.ptr, request->body.len);
    collector->len = request->body.len;
    collector->n_calls++;
    collector->n_spans += decode_count(request->body);
    answer->end = SLUICE_HTTP_OK;
    answer->status = 200;
}

static struct sluice_span message_of(const struct collector *collector)
{
    return (struct sluice_span){collector->body, collector->len};
}

static void flush(struct sluice_test *test)
{
    sluice_test_advance(test, 2000);
}

/* -- exchanges ------------------------------------------------------------------------ */

static struct sluice_exchange *begin(struct sluice_test *test, const char *parent)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/orders/7?key=secret");

    if (parent)
        sluice_test_field_add(ex, SLUICE_REQUEST, "traceparent", parent);
    return ex;
}

/* One that goes well, or not. */
static void go(struct sluice_exchange *ex, uint32_t status)
{
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    sluice_test_attempt_done(ex, (int32_t)status, NULL, false);
    ck_assert_int_eq(sluice_test_response_head(ex, status), SLUICE_NEXT);
    sluice_test_done(ex, true);
}

static void hex(struct sluice_span bytes, char *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        snprintf(out + 2 * i, 3, "%02x", (unsigned char)bytes.ptr[i]);
    out[2 * bytes.len] = '\0';
}

static bool has_id(struct sluice_span span, unsigned number, const char *want)
{
    char text[64];

    hex(decode_bytes(span, number), text);
    return strcmp(text, want) == 0;
}

#define assert_says(span, name, want)                                                              \
    do {                                                                                           \
        char said_[5000];                                                                          \
        ck_assert_str_eq(decode_attribute((span), ATTRIBUTES, (name), said_), (want));             \
    } while (0)

/* -- context --------------------------------------------------------------------------- */

START_TEST(context_of_the_caller_is_taken_over_and_each_try_is_a_parent_of_its_own)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);
    struct sluice_exchange *ex = begin(test, SAMPLED);
    char first[56], second[56], span[17];

    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "trace.id"), TRACE);
    snprintf(span, sizeof(span), "%s", sluice_test_attribute(ex, "span.id"));
    ck_assert_str_ne(span, PARENT);

    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    snprintf(first, sizeof(first), "%s", sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"));
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "traceparent"), first);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_ATTEMPT, "traceparent"), 1);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "tracestate"), "foo=1");
    sluice_test_attempt_done(ex, 0, "connect_failed", true);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9001"), SLUICE_NEXT);
    snprintf(second, sizeof(second), "%s", sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"));
    ck_assert_str_ne(first, second);
    ck_assert(!strstr(first, span) && !strstr(second, span));
    ck_assert(strncmp(first, "00-" TRACE, 35) == 0 && strncmp(second, "00-" TRACE, 35) == 0);
    ck_assert_str_eq(first + 52, "-01");
    sluice_test_attempt_done(ex, 200, NULL, false);
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    sluice_test_done(ex, true);
    sluice_test_free(&test);
}
END_TEST

START_TEST(context_that_is_malformed_is_replaced)
{
    static const char *const bad[] = {"", "00-" TRACE, "ff-" TRACE "-" PARENT "-01", SAMPLED "0"};
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sluice_exchange *ex = begin(test, bad[i]);

        sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1");
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "traceparent"), 1);
        ck_assert(!strstr(sluice_test_field(ex, SLUICE_REQUEST, "traceparent"), TRACE));
        ck_assert_uint_eq(strlen(sluice_test_field(ex, SLUICE_REQUEST, "traceparent")), 55);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "tracestate"), 0);
        sluice_test_done(ex, true);
    }
    ck_assert_double_eq(sluice_test_metric(test, "malformed_total", "traceparent"), 4);
    sluice_test_free(&test);
}
END_TEST

START_TEST(context_that_comes_twice_is_malformed)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);
    struct sluice_exchange *ex = begin(test, SAMPLED);

    sluice_test_field_add(ex, SLUICE_REQUEST, "TraceParent", SAMPLED);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "traceparent"), 1);
    ck_assert(!strstr(sluice_test_field(ex, SLUICE_REQUEST, "traceparent"), TRACE));
    sluice_test_free(&test);
}
END_TEST

START_TEST(tracestate_is_one_sound_line_or_none)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);
    struct sluice_exchange *ex = begin(test, SAMPLED);

    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1, ,");
    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "bar=2");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "tracestate"), 1);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "tracestate"), "foo=1,bar=2");
    sluice_test_done(ex, true);

    ex = begin(test, SAMPLED);
    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1");
    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "BAR=2");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "tracestate"), 0);
    ck_assert_str_eq(sluice_test_attribute(ex, "trace.id"), TRACE);
    ck_assert_double_eq(sluice_test_metric(test, "malformed_total", "tracestate"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(context_is_taken_from_trusted_peers_only)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "trust=[10.0.0.0/8, 'fd00::/8']", NULL);
    static const struct {
        const char *peer;
        bool is_trusted;
    } rows[] = {{"10.1.2.3", true},  {"192.0.2.1", false},     {"fd00::1", true},
                {"fe80::1", false},  {"unix:", false},         {"", false},
                {"11.0.0.0", false}, {"::ffff:10.0.0.1", true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_exchange *ex = begin(test, SAMPLED);

        sluice_test_attribute_set(ex, "peer.address", rows[i].peer);
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_msg((strcmp(sluice_test_attribute(ex, "trace.id"), TRACE) == 0) ==
                          rows[i].is_trusted,
                      "'%s'", rows[i].peer);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "traceparent"), 1);
        sluice_test_done(ex, true);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(b3_is_passed_on_when_wanted)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "b3=both", NULL);
    struct sluice_exchange *ex = begin(test, NULL);
    char want[80], span[17];

    sluice_test_field_add(ex, SLUICE_REQUEST, "X-B3-TraceId", TRACE);
    sluice_test_field_add(ex, SLUICE_REQUEST, "X-B3-SpanId", PARENT);
    sluice_test_field_add(ex, SLUICE_REQUEST, "X-B3-Flags", "1");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "trace.id"), TRACE);
    snprintf(span, sizeof(span), "%s", sluice_test_attribute(ex, "span.id"));
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    snprintf(want, sizeof(want), TRACE "-%s-d-%s",
             sluice_test_field(ex, SLUICE_ATTEMPT, "x-b3-spanid"), span);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "b3"), want);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "x-b3-parentspanid"), span);
    ck_assert_str_ne(sluice_test_field(ex, SLUICE_ATTEMPT, "x-b3-spanid"), span);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "x-b3-flags"), "1");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_ATTEMPT, "x-b3-sampled"), 0);
    ck_assert(strncmp(sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"), "00-" TRACE, 35) == 0);
    sluice_test_attempt_done(ex, 200, NULL, false);
    sluice_test_done(ex, true);

    ex = begin(test, SAMPLED); /* which comes first */
    sluice_test_field_add(ex, SLUICE_REQUEST, "b3", "0");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "trace.id"), TRACE);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "b3"), 1);
    ck_assert(strstr(sluice_test_field(ex, SLUICE_REQUEST, "b3"), "-1-") != NULL);
    sluice_test_done(ex, true);

    ex = begin(test, NULL); /* nobody is the parent, but it has been decided */
    sluice_test_field_add(ex, SLUICE_REQUEST, "b3", "0");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "traceparent") + 52, "-00");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "x-b3-sampled"), "0");
    sluice_test_done(ex, true);

    ex = begin(test, NULL);
    sluice_test_field_add(ex, SLUICE_REQUEST, "b3", "rubbish");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert(strstr(sluice_test_field(ex, SLUICE_REQUEST, "b3"), "-1") != NULL);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "b3"), 1);
    ck_assert_double_eq(sluice_test_metric(test, "malformed_total", "b3"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(context_of_what_is_never_exported_names_the_exchange)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "b3=single", "sample.errors=0/s", NULL);
    struct sluice_exchange *ex = begin(test, QUIET);
    char want[80];

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    snprintf(want, sizeof(want), "00-" TRACE "-%s-00", sluice_test_attribute(ex, "span.id"));
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"), want);
    snprintf(want, sizeof(want), TRACE "-%s-0-" PARENT, sluice_test_attribute(ex, "span.id"));
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "b3"), want);
    sluice_test_attempt_done(ex, 200, NULL, false);
    sluice_test_done(ex, true);
    sluice_test_free(&test);
}
END_TEST

START_TEST(b3_is_not_ours_when_it_is_off)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);
    struct sluice_exchange *ex = begin(test, NULL);

    sluice_test_field_add(ex, SLUICE_REQUEST, "b3", "rubbish");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "b3"), "rubbish");
    sluice_test_free(&test);
}
END_TEST

START_TEST(baggage_passes_or_is_stripped)
{
    static const char *const options[] = {"baggage=pass", "baggage=strip"};

    for (size_t i = 0; i < 2; i++) {
        struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, options[i], NULL);
        struct sluice_exchange *ex = begin(test, SAMPLED);

        sluice_test_field_add(ex, SLUICE_REQUEST, "Baggage", "user=7");
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "baggage"), 1 - i);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(client_is_told_the_trace_when_wanted)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "response_field=x-trace-id", NULL);
    struct sluice_exchange *ex = begin(test, QUIET);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-trace-id"), TRACE);
    sluice_test_free(&test);
}
END_TEST

/* -- sampling ------------------------------------------------------------------------------ */

static bool is_sampled(struct sluice_test *test, const char *parent)
{
    struct sluice_exchange *ex = begin(test, parent);
    bool is_set;

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    is_set = strcmp(sluice_test_field(ex, SLUICE_REQUEST, "traceparent") + 52, "-01") == 0;
    sluice_test_done(ex, true);
    return is_set;
}

START_TEST(sampling_follows_the_parent_unless_told_otherwise)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "sample=0%", NULL);

    ck_assert(is_sampled(test, SAMPLED));
    ck_assert(!is_sampled(test, QUIET));
    ck_assert(!is_sampled(test, NULL));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, URL, "sample={ratio: 0%, parent: ignore}", NULL);
    ck_assert(!is_sampled(test, SAMPLED));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, URL, "sample.parent=ignore", NULL);
    ck_assert(is_sampled(test, QUIET));
    ck_assert(is_sampled(test, NULL));
    sluice_test_free(&test);
}
END_TEST

START_TEST(sampling_takes_its_share_by_trace_id)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "sample={ratio: 25%, parent: ignore}", NULL);
    unsigned n = 0;

    for (unsigned i = 0; i < 4000; i++)
        n += is_sampled(test, NULL);
    ck_assert_uint_gt(n, 850); /* 6 sigma */
    ck_assert_uint_lt(n, 1150);
    ck_assert_double_eq(sluice_test_metric(test, "sampled_total", "ratio"), n);
    /* a quarter: the last 8 bytes are below 0x40... */
    ck_assert(is_sampled(test, "00-ffffffffffffffff3fffffffffffffff-" PARENT "-00"));
    ck_assert(!is_sampled(test, "00-00000000000000004000000000000000-" PARENT "-01"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(sampling_is_limited_by_its_rate_over_all_workers)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    unsigned n = 0;

    sluice_test_set(test, URL);
    sluice_test_set(test, "sample.rate=10/s");
    sluice_test_workers(test, 4);
    ck_assert(sluice_test_start(test));
    for (unsigned i = 0; i < 400; i++) {
        sluice_test_on_worker(test, i % 4);
        n += is_sampled(test, NULL);
    }
    ck_assert_uint_eq(n, 10);
    ck_assert(is_sampled(test, SAMPLED)); /* decided elsewhere */
    sluice_test_advance(test, 500);
    for (unsigned i = 0; i < 40; i++) {
        sluice_test_on_worker(test, i % 4);
        n += is_sampled(test, NULL);
    }
    ck_assert_uint_eq(n, 15);
    ck_assert_double_eq(sluice_test_metric(test, "limited_total", "rate"), 390 + 35);
    sluice_test_free(&test);
}
END_TEST

START_TEST(failures_are_kept_under_a_rate_with_the_ids_that_were_sent)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "sample={ratio: 0%, errors: 3/s}", NULL);
    struct collector collector = {.n_calls = 0};
    struct sluice_exchange *ex;
    struct sluice_span span;
    char field[56], own[17];

    sluice_test_on_http(test, collect, &collector);
    go(begin(test, NULL), 200);
    go(begin(test, NULL), 404);
    flush(test);
    ck_assert_uint_eq(collector.n_calls, 0);

    ex = begin(test, NULL);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    snprintf(field, sizeof(field), "%s", sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"));
    snprintf(own, sizeof(own), "%s", sluice_test_attribute(ex, "span.id"));
    ck_assert_str_eq(field + 52, "-00");
    sluice_test_attempt_done(ex, 503, NULL, false);
    ck_assert_int_eq(sluice_test_response_head(ex, 503), SLUICE_NEXT);
    sluice_test_done(ex, true);
    flush(test);
    ck_assert_uint_eq(collector.n_spans, 2);
    span = decode_span(message_of(&collector), 0);
    field[35] = field[52] = '\0';
    ck_assert(has_id(span, TRACE_ID, field + 3));
    ck_assert(has_id(span, SPAN_ID, field + 36));
    ck_assert(has_id(span, PARENT_ID, own));
    assert_says(span, "server.port", "=9000");
    span = decode_span(message_of(&collector), 1);
    ck_assert(has_id(span, SPAN_ID, own));
    ck_assert_uint_eq(decode_number(span, FLAGS) & 1, 0);
    assert_says(span, "sluice.sampled_by", "errors");

    sluice_test_advance(test, 5000);
    for (unsigned i = 0; i < 10; i++)
        go(begin(test, QUIET), 500);
    flush(test);
    ck_assert_uint_eq(collector.n_spans, 2 + 2 * 3);
    ck_assert_double_eq(sluice_test_metric(test, "sampled_total", "errors"), 4);
    ck_assert_double_eq(sluice_test_metric(test, "limited_total", "errors"), 7);
    free(collector.body);
    sluice_test_free(&test);
}
END_TEST

/* -- spans ----------------------------------------------------------------------------------- */

START_TEST(spans_tell_of_the_exchange_and_of_each_try)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, URL, "service=edge", "resource={deployment.environment.name: test}",
        "request_fields=[X-Tenant]", "response_fields=[content-type]",
        "attributes={enduser.id: '${consumer.name}', empty: '${nothing.there}'}", NULL);
    struct collector collector = {.n_calls = 0};
    struct sluice_exchange *ex = begin(test, SAMPLED);
    struct sluice_span span, resource;
    char first[56], second[56], own[17], text[5000];

    sluice_test_on_http(test, collect, &collector);
    sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1");
    sluice_test_field_add(ex, SLUICE_REQUEST, "user-agent", "curl/8 caf\xc3\xa9 \xff\xc3");
    sluice_test_field_add(ex, SLUICE_REQUEST, "x-tenant", "blue");
    sluice_test_attribute_set(ex, "request.host", "shop.example:8443");
    sluice_test_attribute_set(ex, "request.scheme", "https");
    sluice_test_attribute_set(ex, "request.protocol", "HTTP/1.1");
    sluice_test_attribute_set(ex, "route", "orders");
    sluice_test_attribute_set(ex, "consumer.name", "anna");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    snprintf(own, sizeof(own), "%s", sluice_test_attribute(ex, "span.id"));
    sluice_test_advance(test, 5);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
    snprintf(first, sizeof(first), "%s", sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"));
    sluice_test_advance(test, 10);
    sluice_test_attempt_done(ex, 0, "connect_timeout", true);
    ck_assert_int_eq(sluice_test_attempt(ex, "[::1]:9001"), SLUICE_NEXT);
    snprintf(second, sizeof(second), "%s", sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"));
    sluice_test_attempt_done(ex, 200, NULL, false);
    sluice_test_field_add(ex, SLUICE_RESPONSE, "Content-Type", "text/html");
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    sluice_test_done(ex, true);
    flush(test);

    ck_assert_str_eq(collector.url, "POST http://collector:4318/v1/traces");
    ck_assert_str_eq(collector.fields, "content-type: application/x-protobuf\n");
    ck_assert_uint_eq(decode_count(message_of(&collector)), 3);
    resource = decode_bytes(decode_bytes(message_of(&collector), 1), 1);
    ck_assert_str_eq(decode_attribute(resource, 1, "service.name", text), "edge");
    ck_assert_str_eq(decode_attribute(resource, 1, "deployment.environment.name", text), "test");
    ck_assert_str_ne(decode_attribute(resource, 1, "service.version", text), "");

    span = decode_span(message_of(&collector), 0);
    first[52] = second[52] = '\0';
    ck_assert(has_id(span, TRACE_ID, TRACE) && has_id(span, SPAN_ID, first + 36) &&
              has_id(span, PARENT_ID, own));
    ck_assert_uint_eq(decode_number(span, KIND), CLIENT);
    ck_assert_uint_eq(decode_number(span, FLAGS), 0x101);
    ck_assert_uint_eq(decode_number(span, ENDED) - decode_number(span, BEGUN), 10000000);
    assert_says(span, "http.request.method", "GET");
    assert_says(span, "server.address", "127.0.0.1");
    assert_says(span, "server.port", "=9000");
    assert_says(span, "error.type", "connect_timeout");
    assert_says(span, "http.response.status_code", "");
    assert_says(span, "http.request.resend_count", "");
    ck_assert_uint_eq(decode_number(decode_bytes(span, STATUS), 3), 2);

    span = decode_span(message_of(&collector), 1);
    ck_assert(has_id(span, SPAN_ID, second + 36) && has_id(span, PARENT_ID, own));
    assert_says(span, "server.address", "::1");
    assert_says(span, "server.port", "=9001");
    assert_says(span, "http.request.resend_count", "=1");
    assert_says(span, "http.response.status_code", "=200");
    ck_assert_uint_eq(decode_bytes(span, STATUS).len, 0);

    span = decode_span(message_of(&collector), 2);
    ck_assert(has_id(span, TRACE_ID, TRACE) && has_id(span, SPAN_ID, own) &&
              has_id(span, PARENT_ID, PARENT));
    ck_assert_uint_eq(decode_number(span, KIND), SERVER);
    ck_assert_uint_eq(decode_number(span, FLAGS), 0x301);
    ck_assert_uint_eq(decode_number(span, ENDED) - decode_number(span, BEGUN), 15000000);
    ck_assert(decode_bytes(span, NAME).len == 10 &&
              memcmp(decode_bytes(span, NAME).ptr, "GET orders", 10) == 0);
    ck_assert(decode_bytes(span, STATE).len == 5);
    assert_says(span, "http.request.method", "GET");
    assert_says(span, "url.path", "/orders/7");
    assert_says(span, "url.query", "");
    assert_says(span, "url.scheme", "https");
    assert_says(span, "server.address", "shop.example");
    assert_says(span, "server.port", "=8443");
    assert_says(span, "client.address", "192.0.2.1");
    assert_says(span, "network.protocol.version", "1.1");
    assert_says(span, "http.route", "orders");
    assert_says(span, "http.response.status_code", "=200");
    assert_says(span, "user_agent.original", "curl/8 caf\xc3\xa9 ??");
    assert_says(span, "http.request.header.x-tenant", "[blue]");
    assert_says(span, "http.response.header.content-type", "[text/html]");
    assert_says(span, "enduser.id", "anna");
    assert_says(span, "empty", "");
    assert_says(span, "error.type", "");
    free(collector.body);
    sluice_test_free(&test);
}
END_TEST

START_TEST(spans_of_failures_say_why)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "query=true", NULL);
    struct collector collector = {.n_calls = 0};
    struct sluice_exchange *ex = begin(test, NULL);
    struct sluice_span span;

    sluice_test_on_http(test, collect, &collector);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    sluice_test_attribute_set(ex, "reason", "no_endpoint");
    sluice_test_fact_set(ex, SLUICE_FACT_IS_LOCAL, 1);
    ck_assert_int_eq(sluice_test_response_head(ex, 503), SLUICE_NEXT);
    sluice_test_done(ex, true);
    flush(test);
    span = decode_span(message_of(&collector), 0);
    ck_assert_uint_eq(decode_bytes(span, PARENT_ID).len, 0);
    ck_assert_uint_eq(decode_number(span, FLAGS), 0x101);
    ck_assert_uint_eq(decode_number(decode_bytes(span, STATUS), 3), 2);
    assert_says(span, "error.type", "no_endpoint");
    assert_says(span, "url.query", "key=secret");

    ex = sluice_test_request(test, "BREW", "/");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    sluice_test_attribute_set(ex, "route", NULL);
    sluice_test_attribute_set(ex, "reason", "client_closed");
    sluice_test_done(ex, false);
    flush(test);
    span = decode_span(message_of(&collector), 0);
    assert_says(span, "http.request.method", "_OTHER");
    assert_says(span, "http.request.method_original", "BREW");
    assert_says(span, "error.type", "client_closed");
    ck_assert(decode_bytes(span, NAME).len == 4 &&
              memcmp(decode_bytes(span, NAME).ptr, "HTTP", 4) == 0);
    free(collector.body);
    sluice_test_free(&test);
}
END_TEST

START_TEST(spans_cut_long_values)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "value_size=40", NULL);
    struct collector collector = {.n_calls = 0};
    struct sluice_exchange *ex = begin(test, NULL);
    char text[500];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sluice_test_on_http(test, collect, &collector);
    sluice_test_field_add(ex, SLUICE_REQUEST, "user-agent", text);
    go(ex, 200);
    flush(test);
    text[40] = '\0';
    assert_says(decode_span(message_of(&collector), 1), "user_agent.original", text);
    free(collector.body);
    sluice_test_free(&test);
}
END_TEST

START_TEST(tries_beyond_the_most_are_counted)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, NULL);
    struct collector collector = {.n_calls = 0};
    struct sluice_exchange *ex = begin(test, NULL);

    sluice_test_on_http(test, collect, &collector);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    for (unsigned i = 0; i < 40; i++) {
        const char *own = sluice_test_attribute(ex, "span.id");

        ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
        ck_assert_int_eq(strstr(sluice_test_field(ex, SLUICE_ATTEMPT, "traceparent"), own) != NULL,
                         i >= 32);
        ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_ATTEMPT, "traceparent"), 1);
        sluice_test_attempt_done(ex, 0, "connect_failed", i < 39);
    }
    ck_assert_int_eq(sluice_test_response_head(ex, 502), SLUICE_NEXT);
    sluice_test_done(ex, true);
    flush(test);
    ck_assert_uint_eq(collector.n_spans, 33);
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", "too_many"), 8);
    free(collector.body);
    sluice_test_free(&test);
}
END_TEST

/* -- options ------------------------------------------------------------------------------------ */

START_TEST(options_that_make_no_sense_are_refused)
{
    static const struct {
        const char *row, *says;
    } rows[] = {{"request_fields=[Authorization]", "credentials"},
                {"request_fields=[cookie]", "credentials"},
                {"response_fields=[set-cookie]", "credentials"},
                {"request_fields=['a b']", "field name"},
                {"response_field='x:y'", "field name"},
                {"resource={'': x}", "name"},
                {"b3=triple", "b3"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, URL);
        sluice_test_set(test, rows[i].row);
        ck_assert_msg(!sluice_test_check(test), "%s", rows[i].row);
        ck_assert_msg(strstr(sluice_test_errors(test), rows[i].says) != NULL, "%s: %s", rows[i].row,
                      sluice_test_errors(test));
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(exchange_goes_on_whatever_fails)
{
    for (uint64_t nth = 1;; nth++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, URL, "b3=both", "response_field=x-trace", NULL);
        struct collector collector = {.n_calls = 0};
        struct sluice_exchange *ex = begin(test, SAMPLED);
        bool has_failed;

        sluice_test_on_http(test, collect, &collector);
        sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "foo=1,");
        sluice_test_field_add(ex, SLUICE_REQUEST, "tracestate", "bar=1");
        sluice_test_fail_nth(test, nth);
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
        sluice_test_attempt_done(ex, 0, "connect_failed", true);
        ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9000"), SLUICE_NEXT);
        sluice_test_attempt_done(ex, 200, NULL, false);
        ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
        sluice_test_done(ex, true);
        sluice_test_advance(test, 20000);
        has_failed = sluice_test_has_failed(test);
        free(collector.body);
        sluice_test_free(&test);
        if (!has_failed)
            break;
        ck_assert_uint_lt(nth, 500);
    }
}
END_TEST

UNIT_MAIN("plugins/tracing",
          context_of_the_caller_is_taken_over_and_each_try_is_a_parent_of_its_own,
          context_that_is_malformed_is_replaced, context_that_comes_twice_is_malformed,
          tracestate_is_one_sound_line_or_none, context_is_taken_from_trusted_peers_only,
          b3_is_passed_on_when_wanted, context_of_what_is_never_exported_names_the_exchange,
          b3_is_not_ours_when_it_is_off, baggage_passes_or_is_stripped,
          client_is_told_the_trace_when_wanted, sampling_follows_the_parent_unless_told_otherwise,
          sampling_takes_its_share_by_trace_id, sampling_is_limited_by_its_rate_over_all_workers,
          failures_are_kept_under_a_rate_with_the_ids_that_were_sent,
          spans_tell_of_the_exchange_and_of_each_try, spans_of_failures_say_why,
          spans_cut_long_values, tries_beyond_the_most_are_counted,
          options_that_make_no_sense_are_refused, exchange_goes_on_whatever_fails)
