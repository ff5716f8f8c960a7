#include "upstream/collect.h"

#include "upstream/endpoint.h"
#include "upstream/upstream.h"

#include "unit.h"

#include <stddef.h>
#include <string.h>

enum { WORKERS = 3 };

START_TEST(key_is_cut_into_upstream_and_address)
{
    static const struct {
        const char *key, *upstream, *address;
    } cases[] = {
        {"app 127.0.0.1:80", "app", "127.0.0.1:80"},
        {"my app [::1]:80", "my app", "[::1]:80"},
        {"app unix:/a b/c", "app", "unix:/a b/c"},
        {"my app unix:/a unix:b", "my app", "unix:/a unix:b"},
        {"other", "other", "other"},
        {"", "", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_span upstream, address;

        collect_endpoint_key(span_of(cases[i].key), &upstream, &address);
        ck_assert_msg(span_equal(upstream, span_of(cases[i].upstream)), "%s", cases[i].key);
        ck_assert_msg(span_equal(address, span_of(cases[i].address)), "%s", cases[i].key);
    }
}
END_TEST

START_TEST(sum_is_over_the_workers_own_slots)
{
    struct tally *tally = tally_new(WORKERS);
    const struct tally_block *block =
        tally_get(tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters));

    for (unsigned i = 0; i < WORKERS; i++) {
        struct upstream_counters *counters = tally_slot(block, i);

        counter_add(&counters->rejected_full, 1 + i);
        counter_add(&counters->waiting, 100);
    }
    ck_assert_uint_eq(
        collect_sum(block, WORKERS, offsetof(struct upstream_counters, rejected_full)), 6);
    ck_assert_uint_eq(collect_sum(block, 1, offsetof(struct upstream_counters, rejected_full)), 1);
    tally_free(&tally);
}
END_TEST

/* All samples and TYPE lines, without HELP lines. */
static void check_page(struct tally *tally, const char *expected)
{
    struct upstream_numbers numbers = {.tally = tally, .n_workers = WORKERS};
    struct metrics *metrics = metrics_new();
    struct sluice_span rest, line, all = span_of(expected), wanted;
    struct text out;

    text_init(&out, 1 << 20);
    metrics_add(metrics, collect_upstreams, &numbers);
    metrics_print(metrics, &out);
    rest = text_span(&out);
    while (span_split(&rest, '\n', &line)) {
        if (span_starts(line, SPAN("# HELP ")))
            continue;
        if (!span_split(&all, '\n', &wanted))
            wanted = SPAN("");
        ck_assert_msg(span_equal(line, wanted), "'%.*s', not '%.*s'", (int)line.len, line.ptr,
                      (int)wanted.len, wanted.ptr);
    }
    ck_assert_uint_eq(all.len, 0);
    text_fini(&out);
    metrics_free(&metrics);
}

#define CAUSE  "{upstream=\"app\",cause="
#define LABELS "{upstream=\"app\",endpoint=\"10.0.0.1:80\""

START_TEST(every_number_has_its_family_and_labels)
{
    struct tally *tally = tally_new(WORKERS);
    struct endpoint_counters *endpoint =
        tally_slot(tally_get(tally, ENDPOINT_TALLY, SPAN("app 10.0.0.1:80"), sizeof(*endpoint)), 2);
    struct upstream_counters *upstream =
        tally_slot(tally_get(tally, UPSTREAM_TALLY, SPAN("app"), sizeof(*upstream)), 1);

    counter_add(&endpoint->requests, 1);
    counter_add(&endpoint->active, 2);
    counter_add(&endpoint->idle, 3);
    counter_add(&endpoint->tunnels, 1);
    counter_add(&endpoint->connects, 4);
    counter_add(&endpoint->aged, 5);
    counter_add(&endpoint->used_up, 6);
    counter_add(&endpoint->h2_connections, 51);
    counter_add(&endpoint->streams, 52);
    counter_add(&endpoint->goaways, 53);
    counter_add(&endpoint->unanswered_pings, 54);
    counter_add(&endpoint->tls.full, 81);
    counter_add(&endpoint->tls.resumed, 82);
    counter_add(&endpoint->tls.failed, 83);
    counter_add(&endpoint->tls.tls_1_2, 84);
    counter_add(&endpoint->tls.tls_1_3, 85);
    for (unsigned i = 0; i < ENDPOINT_RESET_COUNT; i++)
        counter_add(&endpoint->resets[i], 40 + i);
    for (unsigned i = 0; i < ENDPOINT_FAILURE_COUNT; i++)
        counter_add(&endpoint->failures[i], 10 + i);
    for (unsigned i = 0; i < UPSTREAM_RETRY_COUNT; i++)
        counter_add(&upstream->retries[i], 20 + i);
    for (unsigned i = 0; i < UPSTREAM_HEDGE_COUNT; i++)
        counter_add(&upstream->hedges[i], 60 + i);
    for (unsigned i = 0; i < UPSTREAM_REFUSAL_COUNT; i++)
        counter_add(&upstream->retries_refused[i], 30 + i);
    counter_add(&upstream->waiting, 6);
    counter_add(&upstream->rejected_full, 7);
    counter_add(&upstream->rejected_timeout, 8);
    counter_add(&upstream->panic_picks, 71);
    counter_add(&upstream->backup_picks, 72);
    counter_add(&upstream->near_picks, 73);
    counter_add(&upstream->far_picks, 74);
    check_page(tally,
               "# TYPE sluice_upstream_requests_total counter\n"
               "sluice_upstream_requests_total" LABELS "} 1\n"
               "# TYPE sluice_upstream_connections gauge\n"
               "sluice_upstream_connections" LABELS ",state=\"active\"} 2\n"
               "sluice_upstream_connections" LABELS ",state=\"idle\"} 3\n"
               "# TYPE sluice_upstream_tunnels gauge\n"
               "sluice_upstream_tunnels" LABELS "} 1\n"
               "# TYPE sluice_upstream_connects_total counter\n"
               "sluice_upstream_connects_total" LABELS "} 4\n"
               "# TYPE sluice_upstream_connections_expired_total counter\n"
               "sluice_upstream_connections_expired_total" LABELS ",cause=\"age\"} 5\n"
               "sluice_upstream_connections_expired_total" LABELS ",cause=\"requests\"} 6\n"
               "# TYPE sluice_upstream_h2_connections gauge\n"
               "sluice_upstream_h2_connections" LABELS "} 51\n"
               "# TYPE sluice_upstream_streams gauge\n"
               "sluice_upstream_streams" LABELS "} 52\n"
               "# TYPE sluice_upstream_goaways_total counter\n"
               "sluice_upstream_goaways_total" LABELS "} 53\n"
               "# TYPE sluice_upstream_pings_unanswered_total counter\n"
               "sluice_upstream_pings_unanswered_total" LABELS "} 54\n"
               "# TYPE sluice_upstream_tls_handshakes_total counter\n"
               "sluice_upstream_tls_handshakes_total" LABELS ",result=\"full\"} 81\n"
               "sluice_upstream_tls_handshakes_total" LABELS ",result=\"resumed\"} 82\n"
               "sluice_upstream_tls_handshakes_total" LABELS ",result=\"failed\"} 83\n"
               "# TYPE sluice_upstream_tls_versions_total counter\n"
               "sluice_upstream_tls_versions_total" LABELS ",version=\"1.2\"} 84\n"
               "sluice_upstream_tls_versions_total" LABELS ",version=\"1.3\"} 85\n"
               "# TYPE sluice_upstream_failures_total counter\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"connect_failed\"} 10\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"connect_timeout\"} 11\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"upstream_reset\"} 12\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"upstream_closed\"} 13\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"upstream_protocol\"} 14\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"response_timeout\"} 15\n"
               "sluice_upstream_failures_total" LABELS ",reason=\"upstream_idle_timeout\"} 16\n"
               "# TYPE sluice_upstream_stream_resets_total counter\n"
               "sluice_upstream_stream_resets_total" LABELS ",cause=\"refused\"} 40\n"
               "sluice_upstream_stream_resets_total" LABELS ",cause=\"cancelled\"} 41\n"
               "sluice_upstream_stream_resets_total" LABELS ",cause=\"failed\"} 42\n"
               "sluice_upstream_stream_resets_total" LABELS ",cause=\"malformed\"} 43\n"
               "sluice_upstream_stream_resets_total" LABELS ",cause=\"unwanted\"} 44\n"
               "# TYPE sluice_metrics_samples_left_out gauge\n"
               "sluice_metrics_samples_left_out 0\n"
               "# TYPE sluice_upstream_retries_total counter\n"
               "sluice_upstream_retries_total" CAUSE "\"connect\"} 20\n"
               "sluice_upstream_retries_total" CAUSE "\"refused\"} 21\n"
               "sluice_upstream_retries_total" CAUSE "\"reset\"} 22\n"
               "sluice_upstream_retries_total" CAUSE "\"timeout\"} 23\n"
               "sluice_upstream_retries_total" CAUSE "\"grpc\"} 24\n"
               "sluice_upstream_retries_total" CAUSE "\"status\"} 25\n"
               "sluice_upstream_retries_total" CAUSE "\"stale\"} 26\n"
               "# TYPE sluice_upstream_retries_refused_total counter\n"
               "sluice_upstream_retries_refused_total" CAUSE "\"budget\"} 30\n"
               "sluice_upstream_retries_refused_total" CAUSE "\"attempts\"} 31\n"
               "sluice_upstream_retries_refused_total" CAUSE "\"method\"} 32\n"
               "sluice_upstream_retries_refused_total" CAUSE "\"content\"} 33\n"
               "sluice_upstream_retries_refused_total" CAUSE "\"retry_after\"} 34\n"
               "# TYPE sluice_upstream_hedges_total counter\n"
               "sluice_upstream_hedges_total{upstream=\"app\",result=\"won\"} 60\n"
               "sluice_upstream_hedges_total{upstream=\"app\",result=\"lost\"} 61\n"
               "sluice_upstream_hedges_total{upstream=\"app\",result=\"refused\"} 62\n"
               "# TYPE sluice_upstream_queue gauge\n"
               "sluice_upstream_queue{upstream=\"app\"} 6\n"
               "# TYPE sluice_upstream_queue_rejected_total counter\n"
               "sluice_upstream_queue_rejected_total{upstream=\"app\",cause=\"full\"} 7\n"
               "sluice_upstream_queue_rejected_total{upstream=\"app\",cause=\"timeout\"} 8\n"
               "# TYPE sluice_upstream_panic_picks_total counter\n"
               "sluice_upstream_panic_picks_total{upstream=\"app\"} 71\n"
               "# TYPE sluice_upstream_backup_picks_total counter\n"
               "sluice_upstream_backup_picks_total{upstream=\"app\"} 72\n"
               "# TYPE sluice_upstream_zone_picks_total counter\n"
               "sluice_upstream_zone_picks_total{upstream=\"app\",zone=\"own\"} 73\n"
               "sluice_upstream_zone_picks_total{upstream=\"app\",zone=\"other\"} 74\n"
               "# TYPE sluice_upstream_tls_handshake_duration_seconds histogram\n");
    tally_free(&tally);
}
END_TEST

static bool page_has(const struct tally *tally, const char *text)
{
    struct upstream_numbers numbers = {.tally = tally, .n_workers = WORKERS};
    struct metrics *metrics = metrics_new();
    struct text out;
    bool has;

    text_init(&out, 1 << 20);
    metrics_add(metrics, collect_upstreams, &numbers);
    metrics_print(metrics, &out);
    has = span_has(text_span(&out), span_of(text));
    text_fini(&out);
    metrics_free(&metrics);
    return has;
}

START_TEST(times_are_said_over_all_workers_and_only_where_there_are_some)
{
    struct tally *tally = tally_new(WORKERS);
    const struct tally_block *plain =
        tally_get(tally, UPSTREAM_TALLY, SPAN("plain"), sizeof(struct upstream_counters));
    const struct tally_block *app =
        tally_get(tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters));

    ck_assert_ptr_nonnull(plain);
    for (unsigned i = 0; i < WORKERS; i++)
        histogram_add(&((struct upstream_counters *)tally_slot(app, i))->tls_time, 1000000);
    ck_assert(!page_has(tally, "tls_handshake_duration_seconds_count{upstream=\"plain\"}"));
    ck_assert(page_has(tally, "tls_handshake_duration_seconds_count{upstream=\"app\"} 3\n"));
    ck_assert(page_has(tally, "tls_handshake_duration_seconds_sum{upstream=\"app\"} 3"));
    tally_free(&tally);
}
END_TEST

UNIT_MAIN("upstream/collect", key_is_cut_into_upstream_and_address,
          sum_is_over_the_workers_own_slots, every_number_has_its_family_and_labels,
          times_are_said_over_all_workers_and_only_where_there_are_some)
