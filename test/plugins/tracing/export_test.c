/*
 * tracing: how spans leave: batches, time, other tries, what is dropped, and what a reload keeps.
 */
#include "decode.h"
#include "sluice_test.h"
#include "tracing/export.h"
#include "tracing/proto.h"

#include <stdlib.h>

#define URL "endpoint=http://collector:4318/v1/traces"

/* -- a collector that answers as it is told ------------------------------------------ */

enum { SEEN_MAX = 100000 };

struct collector {
    struct sluice_test *test;
    struct sluice_test_http answer;
    uint32_t n_calls;
    size_t n_spans, largest; /* those of calls that were answered 200; spans of one call */
    uint64_t last_ms;        /* when the last call came */
    struct sluice_span last; /* its body, a copy */
    struct {
        char id[8];
    } seen[SEEN_MAX]; /* of all that was taken */
};

static void note_ids(struct collector *collector, struct sluice_span body, size_t n)
{
    for (size_t i = 0; i < n && collector->n_spans + i < SEEN_MAX; i++) {
        struct sluice_span id = decode_bytes(decode_span(body, i), 2);

        ck_assert_uint_eq(id.len, 8);
        memcpy(collector->seen[collector->n_spans + i].id, id.ptr, 8);
    }
}

static void collect(void *arg, const char *url, const struct sluice_http_request *request,
                    struct sluice_test_http *answer)
{
    struct collector *collector = arg;
    size_t n = decode_count(request->body);

    ck_assert_str_eq(url, "http://collector:4318/v1/traces");
    ck_assert_uint_gt(n, 0);
    collector->n_calls++;
    collector->last_ms = sluice_test_now_us(collector->test) / 1000;
    if (n > collector->largest)
        collector->largest = n;
    free((char *)(uintptr_t)collector->last.ptr);
    collector->last.ptr = memcpy(malloc(request->body.len), request->body.ptr, request->body.len);
    collector->last.len = request->body.len;
    *answer = collector->answer;
    if (answer->end == SLUICE_HTTP_OK && answer->status == 200) {
        note_ids(collector, request->body, n);
        collector->n_spans += n;
    }
}

static struct collector *collector_new(struct sluice_test *test)
{
    struct collector *collector = calloc(1, sizeof(*collector));

    collector->test = test;
    collector->answer = (struct sluice_test_http){.end = SLUICE_HTTP_OK, .status = 200};
    sluice_test_on_http(test, collect, collector);
    return collector;
}

static void collector_free(struct collector *collector)
{
    free((char *)(uintptr_t)collector->last.ptr);
    free(collector);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

static bool is_each_once(struct collector *collector)
{
    qsort(collector->seen, collector->n_spans, 8, compare);
    for (size_t i = 1; i < collector->n_spans; i++) {
        if (compare(&collector->seen[i - 1], &collector->seen[i]) == 0)
            return false;
    }
    return true;
}

/* n exchanges with one span each; their path makes them as large as wanted. */
static void go(struct sluice_test *test, unsigned n, const char *path)
{
    for (unsigned i = 0; i < n; i++) {
        struct sluice_exchange *ex = sluice_test_request(test, "GET", path);

        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
        sluice_test_done(ex, true);
    }
}

/* The same with spans of more than a kilobyte. */
static void go_large(struct sluice_test *test, unsigned n)
{
    char path[1001];

    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    go(test, n, path);
}

static double dropped(struct sluice_test *test, const char *reason)
{
    return sluice_test_metric(test, "dropped_total", reason);
}

/* -- batches and time -------------------------------------------------------------------- */

START_TEST(spans_wait_for_the_interval_or_a_full_batch)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10s", "batch=100", NULL);
    struct collector *collector = collector_new(test);

    go(test, 99, "/");
    sluice_test_advance(test, 4900); /* half of it is the least */
    ck_assert_uint_eq(collector->n_calls, 0);
    go(test, 1, "/");
    sluice_test_turn(test);
    ck_assert_uint_eq(collector->n_calls, 1);
    ck_assert_uint_eq(collector->n_spans, 100);
    go(test, 5, "/");
    sluice_test_turn(test);
    ck_assert_uint_eq(collector->n_calls, 1);
    sluice_test_advance(test, 15001); /* one and a half is the most */
    ck_assert_uint_eq(collector->n_spans, 105);
    sluice_test_advance(test, 60000);
    ck_assert_uint_eq(collector->n_calls, 2); /* nothing to say */
    ck_assert_double_eq(sluice_test_metric(test, "exported_total", NULL), 105);
    ck_assert_double_eq(sluice_test_metric(test, "queued_bytes", NULL), 0);
    ck_assert(is_each_once(collector));
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(interval_is_not_the_same_for_all_workers)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    struct collector *collector;
    uint64_t first, n = 0;

    sluice_test_set(test, URL);
    sluice_test_set(test, "interval=10s");
    sluice_test_workers(test, 8);
    ck_assert(sluice_test_start(test));
    collector = collector_new(test);
    for (unsigned i = 0; i < 8; i++) {
        sluice_test_on_worker(test, i);
        go(test, 1, "/");
    }
    first = 0;
    for (unsigned ms = 0; ms < 16000; ms++) {
        uint32_t before = collector->n_calls;

        sluice_test_advance(test, 1);
        n += collector->n_calls - before == 1; /* alone in its millisecond */
        first = first == 0 && collector->n_calls > 0 ? ms : first;
    }
    ck_assert_uint_eq(collector->n_spans, 8);
    ck_assert_uint_ge(n, 6);
    ck_assert_uint_ge(first, 4999);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(batches_follow_each_other_while_there_are_full_ones)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=1m", "batch=50", NULL);
    struct collector *collector = collector_new(test);

    collector->answer.delay_ms = 100;
    go(test, 220, "/");
    ck_assert_uint_eq(collector->n_calls, 1); /* one at a time */
    sluice_test_advance(test, 1000);
    ck_assert_uint_eq(collector->n_calls, 4);
    ck_assert_uint_eq(collector->n_spans, 200);
    ck_assert_uint_eq(collector->largest, 50);
    ck_assert(is_each_once(collector));
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(batch_is_bounded_in_bytes)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "interval=1s",
                                                   "batch=10000", "value_size=4096", NULL);
    struct collector *collector = collector_new(test);
    char path[4001];

    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    go(test, 300, path); /* 1.2 MB */
    sluice_test_advance(test, 1500);
    ck_assert_uint_le(collector->last.len, EXPORT_BATCH_BYTES + 1024);
    ck_assert_uint_lt(collector->largest, 200);
    sluice_test_advance(test, 10000);
    ck_assert_uint_eq(collector->n_spans, 300);
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    ck_assert(is_each_once(collector));
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(ring_goes_round_without_losing_a_byte)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10ms", "queue=64KiB", "batch=7", NULL);
    struct collector *collector = collector_new(test);
    char path[120] = "/";

    for (unsigned i = 0; i < 1500; i++) { /* several times around, spans of many sizes */
        memset(path + 1, 'a' + (int)(i % 26), i % 100);
        path[1 + i % 100] = '\0';
        go(test, 1, path);
        sluice_test_advance(test, 1);
    }
    sluice_test_advance(test, 1000);
    ck_assert_uint_eq(collector->n_spans, 1500);
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    ck_assert(is_each_once(collector));
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

/* -- when it does not go well ---------------------------------------------------------------- */

START_TEST(batch_is_tried_again_with_growing_pauses)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "interval=10ms", NULL);
    struct collector *collector = collector_new(test);
    uint64_t last = 0, pause_ms = 1000;

    collector->answer = (struct sluice_test_http){.end = SLUICE_HTTP_UNREACHABLE};
    go(test, 3, "/");
    for (uint32_t i = 1; i <= 5; i++) {
        while (collector->n_calls < i)
            sluice_test_advance(test, 1);
        if (i > 1) {
            ck_assert_uint_ge(collector->last_ms - last, pause_ms / 2);
            ck_assert_uint_le(collector->last_ms - last, pause_ms * 3 / 2 + 2);
            pause_ms *= 2;
        }
        last = collector->last_ms;
    }
    collector->answer = (struct sluice_test_http){.end = SLUICE_HTTP_OK, .status = 200};
    sluice_test_advance(test, 30000);
    ck_assert_uint_eq(collector->n_spans, 3);
    ck_assert_double_eq(sluice_test_metric(test, "exports_total", "unreachable"), 5);
    ck_assert_double_eq(sluice_test_metric(test, "exports_total", "ok"), 1);
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    ck_assert_uint_eq(sluice_test_logged(test, "spans cannot be exported"), 1);
    ck_assert_uint_eq(sluice_test_logged(test, "spans are exported again"), 1);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_is_worth_another_try_is_told_by_the_answer)
{
    static const struct {
        uint32_t end, status;
        bool again;
    } rows[] = {{SLUICE_HTTP_OK, 429, true},    {SLUICE_HTTP_OK, 502, true},
                {SLUICE_HTTP_OK, 503, true},    {SLUICE_HTTP_OK, 504, true},
                {SLUICE_HTTP_OK, 500, false},   {SLUICE_HTTP_OK, 400, false},
                {SLUICE_HTTP_OK, 401, false},   {SLUICE_HTTP_OK, 404, false},
                {SLUICE_HTTP_OK, 413, false},   {SLUICE_HTTP_OK, 301, false},
                {SLUICE_HTTP_TIMEOUT, 0, true}, {SLUICE_HTTP_UNREACHABLE, 0, true},
                {SLUICE_HTTP_BROKEN, 0, true},  {SLUICE_HTTP_TOO_LARGE, 0, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, URL, "interval=10ms", "retries=2", NULL);
        struct collector *collector = collector_new(test);

        collector->answer = (struct sluice_test_http){.end = rows[i].end, .status = rows[i].status};
        go(test, 4, "/");
        sluice_test_advance(test, 60000);
        ck_assert_msg(collector->n_calls == (rows[i].again ? 3 : 1), "row %zu: %u calls", i,
                      collector->n_calls);
        ck_assert_double_eq(dropped(test, rows[i].again ? "gave_up" : "refused"), 4);
        ck_assert_double_eq(sluice_test_metric(test, "queued_bytes", NULL), 0);
        collector_free(collector);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(retry_after_is_honoured_within_reason)
{
    static const struct {
        const char *value;
        uint64_t least_ms, most_ms;
    } rows[] = {{"7", 7000, 7002},          {"0", 500, 1502},  {"999999999999", 300000, 300002},
                {"Fri, 31 Dec", 500, 1502}, {"-1", 500, 1502}, {"", 500, 1502}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "interval=10ms", NULL);
        struct collector *collector = collector_new(test);
        struct sluice_pair field = {SLUICE_SPAN("retry-after"),
                                    {rows[i].value, strlen(rows[i].value)}};
        uint64_t first;

        collector->answer = (struct sluice_test_http){
            .end = SLUICE_HTTP_OK, .status = 503, .fields = &field, .n_fields = 1};
        go(test, 1, "/");
        while (collector->n_calls < 1)
            sluice_test_advance(test, 1);
        first = collector->last_ms;
        while (collector->n_calls < 2 && collector->last_ms - first < 400000)
            sluice_test_advance(test, 1);
        ck_assert_msg(collector->last_ms - first >= rows[i].least_ms &&
                          collector->last_ms - first <= rows[i].most_ms,
                      "'%s': %llu ms", rows[i].value,
                      (unsigned long long)(collector->last_ms - first));
        collector_free(collector);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(partial_success_is_believed_as_far_as_it_can_be)
{
    static const struct {
        const char *body;
        size_t len;
        unsigned lost;
    } rows[] = {{"", 0, 0},
                {"\x0a\x00", 2, 0},
                {"\x0a\x02\x08\x02", 4, 2},
                {"\x0a\x06\x12\x02no\x08\x03", 8, 3},
                {"\x0a\x02\x08\x63", 4, 5}, /* more than there were */
                {"\x0a\x09\x08\xff\xff\xff\xff\xff\xff\xff\xff", 11, 0},
                {"\x0a\x7f\x08\x02", 4, 0},
                {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, 0},
                {"<html>", 6, 0}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "interval=10ms", NULL);
        struct collector *collector = collector_new(test);

        collector->answer.body = (struct sluice_span){rows[i].body, rows[i].len};
        go(test, 5, "/");
        sluice_test_advance(test, 1000);
        ck_assert_msg(dropped(test, "rejected") == rows[i].lost, "row %zu: %f", i,
                      dropped(test, "rejected"));
        ck_assert_double_eq(sluice_test_metric(test, "exported_total", NULL), 5 - rows[i].lost);
        collector_free(collector);
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(queue_is_bounded_and_what_finds_no_room_is_counted)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, URL, "interval=10ms",
                                                   "queue=64KiB", "retries=100", NULL);
    struct collector *collector = collector_new(test);
    double kept;

    collector->answer = (struct sluice_test_http){.end = SLUICE_HTTP_TIMEOUT};
    go_large(test, 300);
    sluice_test_advance(test, 100);
    ck_assert_double_gt(dropped(test, "queue_full"), 150);
    ck_assert_double_le(sluice_test_metric(test, "queued_bytes", NULL),
                        2 * 65536 + 4096); /* the ring, and what is under way */
    go_large(test, 300);
    collector->answer = (struct sluice_test_http){.end = SLUICE_HTTP_OK, .status = 200};
    sluice_test_advance(test, 60000);
    kept = 600 - dropped(test, "queue_full");
    ck_assert_double_gt(kept, 60);
    ck_assert_double_eq(sluice_test_metric(test, "exported_total", NULL), kept);
    ck_assert_double_eq((double)collector->n_spans, kept);
    ck_assert(is_each_once(collector));
    ck_assert_double_eq(sluice_test_metric(test, "queued_bytes", NULL), 0);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

/* -- reload --------------------------------------------------------------------------------------- */

START_TEST(reload_hands_over_what_waits)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    struct collector *collector;

    sluice_test_set(test, URL);
    sluice_test_set(test, "interval=10s");
    sluice_test_workers(test, 2);
    ck_assert(sluice_test_start(test));
    collector = collector_new(test);
    for (unsigned round = 0; round < 3; round++) { /* nobody sends between them */
        sluice_test_on_worker(test, 0);
        go(test, 30, "/");
        sluice_test_on_worker(test, 1);
        go(test, 10, "/");
        sluice_test_set(test, round == 0 ? "service=a" : "service=b");
        ck_assert(sluice_test_reload(test));
    }
    sluice_test_advance(test, 60000);
    ck_assert_uint_eq(collector->n_spans, 120);
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    ck_assert_double_eq(sluice_test_metric(test, "queued_bytes", NULL), 0);
    ck_assert(is_each_once(collector));
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(reload_hands_over_a_batch_without_an_answer)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10s", "batch=10", NULL);
    struct collector *collector = collector_new(test);

    collector->answer.status = 503; /* the batch waits for its next try when the reload comes */
    go(test, 14, "/");
    sluice_test_advance(test, 1);
    ck_assert_uint_eq(collector->n_calls, 1);
    collector->answer.status = 200;
    sluice_test_set(test, "service=a");
    ck_assert(sluice_test_reload(test));
    sluice_test_advance(test, 60000);
    ck_assert_uint_eq(collector->n_spans, 14);
    ck_assert(is_each_once(collector));
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    ck_assert_double_eq(sluice_test_metric(test, "queued_bytes", NULL), 0);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(reload_hands_over_no_more_than_its_bound)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10s", "batch=10000", NULL);
    struct collector *collector = collector_new(test);

    go_large(test, 800);
    sluice_test_set(test, "service=a");
    ck_assert(sluice_test_reload(test));
    sluice_test_advance(test, 60000);
    ck_assert_uint_gt(collector->n_spans, 300);
    ck_assert_double_gt(dropped(test, "stopped"), 200);
    ck_assert_double_eq((double)collector->n_spans + dropped(test, "stopped"), 800);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

/* -- the end --------------------------------------------------------------------------------------- */

START_TEST(the_end_waits_until_all_has_been_sent)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10s", "batch=10", NULL);
    struct collector *collector = collector_new(test);

    go(test, 35, "/");
    ck_assert_uint_lt(collector->n_spans, 35);
    ck_assert(sluice_test_drain(test, 2000));
    ck_assert_uint_eq(collector->n_spans, 35);
    ck_assert(is_each_once(collector));
    ck_assert(sluice_test_drain(test, 2000));
    ck_assert_double_eq(sluice_test_metric(test, "dropped_total", NULL), 0);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_end_asks_a_collector_that_fails_once)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, URL, "interval=10s", "batch=100", NULL);
    struct collector *collector = collector_new(test);

    collector->answer.status = 503;
    go(test, 5, "/");
    ck_assert(sluice_test_drain(test, 2000));
    ck_assert_uint_eq(collector->n_calls, 1);
    collector_free(collector);
    sluice_test_free(&test);
}
END_TEST

/* -- bytes ------------------------------------------------------------------------------------------ */

START_TEST(varints_are_written_as_they_are_read)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int less = 0; less <= 1; less++) {
            uint64_t value = (UINT64_C(1) << bit) - (uint64_t)less;
            char out[PROTO_VARINT_MAX];
            struct sluice_span rest = {out, proto_varint(value, out)};

            ck_assert_uint_eq(decode_varint(&rest), value);
            ck_assert_uint_eq(rest.len, 0);
        }
    }
}
END_TEST

static void assert_text(const char *bytes, size_t len, const char *want)
{
    char out[256];
    struct proto proto = {.out = out, .room = sizeof(out)};
    struct sluice_span written = {out, 0};
    struct field field;

    proto_text(&proto, 1, (struct sluice_span){bytes, len});
    ck_assert(!proto.is_short);
    written.len = proto.len;
    ck_assert(decode_find(written, 1, 0, &field));
    ck_assert_uint_eq(field.bytes.len, strlen(want));
    ck_assert_msg(memcmp(field.bytes.ptr, want, strlen(want)) == 0, "%.*s is not %s",
                  (int)field.bytes.len, field.bytes.ptr, want);
}

START_TEST(text_is_always_utf8)
{
    assert_text("plain", 5, "plain");
    assert_text("caf\xc3\xa9", 5, "caf\xc3\xa9");
    assert_text("\xe2\x82\xac\xf0\x9f\x98\x80", 7, "\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_text("\xff", 1, "?");
    assert_text("\xc3", 1, "?");
    assert_text("a\xe2\x82", 3, "a??");
    assert_text("\xc0\x80", 2, "??"); /* longer than need be */
    assert_text("\xe0\x80\x80", 3, "???");
    assert_text("\xed\xa0\x80", 3, "???");      /* half of a pair */
    assert_text("\xf4\x90\x80\x80", 4, "????"); /* beyond the last */
    assert_text("\xf0\x80\x80\x80", 4, "????");
    assert_text("\x80"
                "b",
                2, "?b");
}
END_TEST

START_TEST(what_does_not_fit_is_told)
{
    for (size_t room = 0; room < 64; room++) {
        char *out = malloc(room > 0 ? room : 1); /* so that AddressSanitizer sees */
        struct proto proto = {.out = out, .room = room};

        proto_pair_text(&proto, 9, SLUICE_SPAN("a.name"), SLUICE_SPAN("and its value"));
        proto_pair_int(&proto, 9, SLUICE_SPAN("n"), -1);
        proto_pair_list(&proto, 9, SLUICE_SPAN("l"), SLUICE_SPAN("x"));
        ck_assert_int_eq(proto.is_short, room < 59);
        free(out);
    }
}
END_TEST

UNIT_MAIN("plugins/tracing/export", spans_wait_for_the_interval_or_a_full_batch,
          interval_is_not_the_same_for_all_workers,
          batches_follow_each_other_while_there_are_full_ones, batch_is_bounded_in_bytes,
          ring_goes_round_without_losing_a_byte, batch_is_tried_again_with_growing_pauses,
          what_is_worth_another_try_is_told_by_the_answer, retry_after_is_honoured_within_reason,
          partial_success_is_believed_as_far_as_it_can_be,
          queue_is_bounded_and_what_finds_no_room_is_counted, reload_hands_over_what_waits,
          reload_hands_over_a_batch_without_an_answer, the_end_waits_until_all_has_been_sent,
          the_end_asks_a_collector_that_fails_once, reload_hands_over_no_more_than_its_bound,
          varints_are_written_as_they_are_read, text_is_always_utf8, what_does_not_fit_is_told)
