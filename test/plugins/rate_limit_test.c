/*
 * rate_limit: who shares a limit, what passes, what is told, and how Redis is used and missed.
 */
#include "../../plugins/rate_limit/limit.h"
#include "sluice_test.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const uint64_t second = 1000000000;

/* -- arithmetic ---------------------------------------------------------------- */

START_TEST(bucket_gives_its_burst_and_then_its_rate)
{
    struct limit_bucket bucket = limit_bucket(10, 1000, 3);
    uint64_t arrival = 0, now = 5 * second;
    struct limit_answer answer;

    for (uint64_t left = 3; left-- > 0;) {
        answer = limit_take(&bucket, &arrival, now, 1);
        ck_assert(answer.passed);
        ck_assert_uint_eq(answer.remaining, left);
    }
    answer = limit_take(&bucket, &arrival, now, 1);
    ck_assert(!answer.passed);
    ck_assert_uint_eq(answer.retry_ns, second / 10);
    ck_assert(!limit_take(&bucket, &arrival, now + second / 10 - 1, 1).passed);
    ck_assert(limit_take(&bucket, &arrival, now + second / 10, 1).passed);
}
END_TEST

START_TEST(bucket_admits_rate_times_time_plus_burst)
{
    struct limit_bucket bucket = limit_bucket(300, 1000, 50);
    uint64_t arrival = 0, passed = 0;

    for (uint64_t ms = 1000; ms < 11000; ms++) {
        passed += limit_take(&bucket, &arrival, ms * 1000000, 1).passed;
    }
    ck_assert_uint_ge(passed, 3000 + 50 - 2);
    ck_assert_uint_le(passed, 3000 + 50 + 1);
}
END_TEST

START_TEST(bucket_refuses_for_good_what_costs_more_than_its_burst)
{
    struct limit_bucket bucket = limit_bucket(10, 1000, 3);
    uint64_t arrival = 0;
    struct limit_answer answer = limit_take(&bucket, &arrival, second, 4);

    ck_assert(!answer.passed);
    ck_assert_uint_eq(answer.retry_ns, 0);
    ck_assert_uint_eq(arrival, 0);
}
END_TEST

START_TEST(bucket_that_was_made_smaller_has_nothing_left)
{
    struct limit_bucket small = limit_bucket(10, 1000, 2);
    uint64_t arrival = 3 * second;
    struct limit_answer answer = limit_take(&small, &arrival, second, 1);

    ck_assert(!answer.passed);
    ck_assert_uint_eq(answer.remaining, 0);
    ck_assert_uint_eq(answer.retry_ns, 2 * second + second / 10 - second / 5);
}
END_TEST

START_TEST(window_counts_the_share_of_the_one_before)
{
    /* 10 a second; 8 in the last second; half of it still counts in the middle of this one. */
    uint64_t middle = 7 * second + second / 2;
    struct limit_answer answer = limit_slide(10, second, middle, 8, 5, 1);

    ck_assert(answer.passed);
    ck_assert_uint_eq(answer.remaining, 0);
    answer = limit_slide(10, second, middle, 8, 6, 1);
    ck_assert(!answer.passed);
    ck_assert_uint_le(answer.retry_ns, second / 8 + 1);
    ck_assert_uint_ge(answer.retry_ns, second / 8);
    ck_assert(limit_slide(10, second, middle + answer.retry_ns, 8, 6, 1).passed);
}
END_TEST

START_TEST(window_that_is_full_itself_says_wait_for_the_next)
{
    struct limit_answer answer = limit_slide(10, second, 7 * second + second / 4, 0, 10, 1);

    ck_assert(!answer.passed);
    ck_assert_uint_eq(answer.retry_ns, second - second / 4);
}
END_TEST

/* -- the plugin ------------------------------------------------------------------- */

/* One request of that client. */
static enum sluice_verdict ask(struct sluice_test *test, const char *client,
                               struct sluice_exchange **out)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    if (client)
        sluice_test_attribute_set(ex, "client.address", client);
    *out = ex;
    return sluice_test_request_head(ex);
}

static unsigned passes(struct sluice_test *test, const char *client, unsigned n)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < n; i++) {
        struct sluice_exchange *ex;

        passed += ask(test, client, &ex) == SLUICE_NEXT;
        sluice_test_done(ex, true);
    }
    return passed;
}

START_TEST(each_client_has_its_own_bucket)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=5/s", NULL);

    ck_assert_uint_eq(passes(test, "192.0.2.1", 8), 5);
    ck_assert_uint_eq(passes(test, "192.0.2.2", 8), 5);
    sluice_test_advance(test, 400);
    ck_assert_uint_eq(passes(test, "192.0.2.1", 8), 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(ipv6_clients_of_one_network_share)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=5/s", NULL);

    ck_assert_uint_eq(passes(test, "2001:db8:1:2::1", 4), 4);
    ck_assert_uint_eq(passes(test, "2001:db8:1:2:ffff::9", 4), 1);
    ck_assert_uint_eq(passes(test, "2001:db8:1:3::1", 4), 4);
    sluice_test_free(&test);
}
END_TEST

START_TEST(refusal_says_when_to_come_back)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=6/m", "burst=1", "name=slow", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(passes(test, NULL, 1), 1);
    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 429);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, "rate_limited");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "retry-after"), "10");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "ratelimit"), "\"slow\";r=0;t=10");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "ratelimit-policy"),
                     "\"slow\";q=1;w=10");
    sluice_test_done(ex, true);
    ck_assert(sluice_test_metric(test, "requests_total", "slow,refused") == 1);
    ck_assert(sluice_test_metric(test, "requests_total", "slow,passed") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(legacy_fields_are_the_old_three)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=10/s", "fields=legacy", NULL);
    struct sluice_exchange *ex;

    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_NEXT);
    sluice_test_response_head(ex, 200);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-ratelimit-limit"), "10");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-ratelimit-remaining"), "9");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-ratelimit-reset"), "1");
    ck_assert_ptr_null(sluice_test_field(ex, SLUICE_RESPONSE, "ratelimit"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(refused_request_takes_nothing_from_other_limits)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin,
                            "limits=[{name: wide, rate: 10/h, key: everybody}, "
                            "{name: narrow, rate: 1/h}]",
                            NULL);

    ck_assert_uint_eq(passes(test, "192.0.2.1", 6), 1); /* five refused by "narrow" */
    for (int i = 2; i < 11; i++) {
        char client[32];

        snprintf(client, sizeof(client), "192.0.2.%d", i);
        ck_assert_uint_eq(passes(test, client, 1), 1); /* so "wide" has nine left */
    }
    ck_assert_uint_eq(passes(test, "192.0.2.99", 1), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(consumer_is_a_key_and_its_absence_the_address)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "key=consumer", "rate=1/h", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_attribute_set(ex, "consumer.name", "ann");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_attribute_set(ex, "consumer.name", "ann");
    sluice_test_attribute_set(ex, "client.address", "192.0.2.77");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(passes(test, "192.0.2.77", 2), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(request_without_a_key_can_be_skipped_or_refused)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "key=consumer", "rate=1/h", "missing_key=skip", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(passes(test, NULL, 5), 5);
    sluice_test_free(&test);
    test =
        sluice_test_started(&sluice_plugin, "key=consumer", "rate=1/h", "missing_key=refuse", NULL);
    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 403);
    sluice_test_free(&test);
}
END_TEST

START_TEST(slot_is_free_again_when_its_exchange_has_ended)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "algorithm=concurrency", "concurrent=2", NULL);
    struct sluice_exchange *one, *two, *three;

    ck_assert_int_eq(ask(test, NULL, &one), SLUICE_NEXT);
    ck_assert_int_eq(ask(test, NULL, &two), SLUICE_NEXT);
    ck_assert_int_eq(ask(test, NULL, &three), SLUICE_REPLIED);
    sluice_test_done(three, true);
    sluice_test_done(one, false);
    ck_assert_int_eq(ask(test, NULL, &three), SLUICE_NEXT);
    ck_assert_uint_eq(passes(test, NULL, 1), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(dry_run_lets_pass_and_counts)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=1/h", "name=try", "dry_run=on", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(passes(test, NULL, 3), 3);
    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_notes(ex), "rate_would_refuse");
    ck_assert(sluice_test_metric(test, "requests_total", "try,would_refuse") == 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_was_counted_survives_a_reload)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=3/h", NULL);

    ck_assert_uint_eq(passes(test, NULL, 2), 2);
    sluice_test_set(test, "status=503");
    ck_assert(sluice_test_reload(test));
    ck_assert_uint_eq(passes(test, NULL, 4), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(workers_share_a_limit)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    unsigned passed = 0;

    sluice_test_workers(test, 4);
    sluice_test_set(test, "rate=10/h");
    ck_assert(sluice_test_start(test));
    for (uint32_t i = 0; i < 4; i++) {
        sluice_test_on_worker(test, i);
        passed += passes(test, NULL, 5);
    }
    ck_assert_uint_eq(passed, 10);
    sluice_test_free(&test);
}
END_TEST

START_TEST(dry_run_beside_a_list_is_for_all_of_it)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "dry_run=on", "limits=[{name: a, rate: 1/h}, {name: b, rate: 2/h}]", NULL);

    ck_assert_uint_eq(passes(test, NULL, 4), 4);
    ck_assert(sluice_test_metric(test, "requests_total", "a,would_refuse") == 3);
    ck_assert(sluice_test_metric(test, "requests_total", "b,would_refuse") == 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_stands_beside_a_list_is_refused)
{
    static const char *const rows[] = {"rate=1/s",    "key=consumer", "algorithm=sliding_window",
                                       "cost=2",      "burst=5",      "name=both",
                                       "concurrent=3"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, "limits=[{rate: 1/s}]");
        sluice_test_set(test, rows[i]);
        ck_assert_msg(!sluice_test_check(test), "%s", rows[i]);
        ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "not both"));
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(slow_rate_with_a_large_burst_is_counted_right)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=1/d", "burst=2000", NULL);

    ck_assert_uint_eq(passes(test, NULL, 2001), 2000);
    sluice_test_free(&test);
}
END_TEST

START_TEST(mistakes_are_told_by_their_place)
{
    static const struct {
        const char *row, *error;
    } mistakes[] = {
        {"name=x", "rate: a limit needs a rate"},
        {"key=nobody", "'nobody' is no key"},
        {"algorithm=concurrency", "needs their number"},
        {"limits=[{rate: 1/s}, {rate: 1/s, cost: 9}]",
         "limits[1].cost: no request could ever pass"},
        {"name='a\"b'", "cannot be told"},
        {"rate=1/40000d", "rate: a period of more than a hundred years"},
        {"limits=[{rate: 1/d, burst: 1000000}]", "limits[0].burst: at this rate it would take"},
    };

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, mistakes[i].row);
        ck_assert(!sluice_test_check(test));
        ck_assert_msg(strstr(sluice_test_errors(test), mistakes[i].error), "%s: %s",
                      mistakes[i].row, sluice_test_errors(test));
        sluice_test_free(&test);
    }
}
END_TEST

/* -- Redis -------------------------------------------------------------------------- */

/* Answers like the script: granted, remaining, reset, retry; counts what it was asked. */
struct redis {
    unsigned n_calls, n_whole;
    bool knows_script;
    long left;
    uint32_t delay_ms;
    struct sluice_redis_reply value[4];
};

static long number(struct sluice_span text)
{
    char copy[32];

    snprintf(copy, sizeof(copy), "%.*s", (int)text.len, text.ptr);
    return strtol(copy, NULL, 10);
}

static void on_redis(void *redis_, const struct sluice_span *argv, size_t n,
                     struct sluice_test_redis *answer)
{
    struct redis *redis = redis_;
    bool is_whole = argv[0].len == 4;
    long want, need, granted;

    redis->n_calls++;
    redis->n_whole += is_whole;
    answer->delay_ms = redis->delay_ms;
    answer->reply.size = sizeof(answer->reply);
    if (!is_whole && !redis->knows_script) {
        answer->reply.kind = SLUICE_REDIS_ERROR;
        answer->reply.text = SLUICE_SPAN("NOSCRIPT No matching script");
        return;
    }
    redis->knows_script = true;
    ck_assert_uint_eq(n, 3 + 1 + 5);
    want = number(argv[n - 2]);
    need = number(argv[n - 1]);
    granted = redis->left < need ? 0 : redis->left < want ? redis->left : want;
    redis->left -= granted;
    for (int i = 0; i < 4; i++) {
        const int64_t values[] = {granted, redis->left, 1000000, granted ? 0 : 700000};

        redis->value[i] = (struct sluice_redis_reply){
            .size = sizeof(redis->value[i]), .kind = SLUICE_REDIS_INTEGER, .integer = values[i]};
    }
    answer->reply.kind = SLUICE_REDIS_LIST;
    answer->reply.element = redis->value;
    answer->reply.n = 4;
}

static enum sluice_verdict ask_redis(struct sluice_test *test, struct sluice_exchange **out)
{
    enum sluice_verdict verdict = ask(test, NULL, out);

    return verdict == SLUICE_WAIT ? sluice_test_settle(*out) : verdict;
}

START_TEST(redis_decides_and_learns_the_script_once)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=100/s", "store=redis", "name=r", NULL);
    struct redis redis = {.left = 2};
    struct sluice_exchange *ex;

    sluice_test_on_redis(test, on_redis, &redis);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_NEXT);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_NEXT);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_REPLIED);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "retry-after"), "1");
    ck_assert_uint_eq(redis.n_whole, 1);
    ck_assert_uint_eq(redis.n_calls, 4);
    ck_assert(sluice_test_metric(test, "redis_calls_total", "answered") == 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(redis_that_is_slow_is_waited_for_no_longer_than_said)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=2/h", "store=redis",
                                                   "redis_timeout=20ms", "redis_pause=1s", NULL);
    struct redis redis = {.left = 100, .knows_script = true, .delay_ms = 500};
    struct sluice_exchange *ex;
    uint64_t begun;

    sluice_test_on_redis(test, on_redis, &redis);
    begun = sluice_test_now_us(test);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_NEXT); /* by the same limit, here */
    ck_assert_uint_le(sluice_test_now_us(test) - begun, 20000);
    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_NEXT); /* nobody is asked for a while */
    ck_assert_int_eq(ask(test, NULL, &ex), SLUICE_REPLIED);
    ck_assert_uint_eq(redis.n_calls, 1);
    ck_assert(sluice_test_metric(test, "redis_calls_total", "timeout") == 1);
    sluice_test_advance(test, 1000);
    (void)ask_redis(test, &ex);
    ck_assert_uint_eq(redis.n_calls, 2);
    ck_assert_uint_eq(sluice_test_logged(test, "redis does not limit"), 1); /* once an outage */
    redis.delay_ms = 0;
    sluice_test_advance(test, 1000);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_NEXT);
    ck_assert_uint_eq(redis.n_calls, 3);
    ck_assert_uint_eq(sluice_test_logged(test, "redis limits again"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_redis_the_failure_rule_holds)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=1/h", "store=redis",
                                                   "on_redis_failure=open", NULL);
    struct sluice_exchange *ex;

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ask_redis(test, &ex), SLUICE_NEXT);
    }
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "rate=1/h", "store=redis", "on_redis_failure=closed",
                               NULL);
    ck_assert_int_eq(ask_redis(test, &ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 503);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, "rate_limit_unavailable");
    sluice_test_free(&test);
}
END_TEST

START_TEST(hybrid_gives_away_leases_without_asking)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=1000/s", "store=hybrid", "lease=400ms", NULL);
    struct redis redis = {.left = 100000, .knows_script = true};
    struct sluice_exchange *ex;
    unsigned waited = 0;

    sluice_test_on_redis(test, on_redis, &redis);
    for (int i = 0; i < 500; i++) {
        enum sluice_verdict verdict = ask(test, NULL, &ex);

        waited += verdict == SLUICE_WAIT;
        if (verdict == SLUICE_WAIT)
            verdict = sluice_test_settle(ex);
        ck_assert_int_eq(verdict, SLUICE_NEXT);
        sluice_test_done(ex, true);
        sluice_test_turn(test);
    }
    ck_assert_uint_eq(waited, 1); /* the very first; later leases were fetched ahead */
    ck_assert_uint_le(redis.n_calls, 20);
    sluice_test_free(&test);
}
END_TEST

START_TEST(hybrid_never_gives_more_than_was_granted)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "rate=1000/s", "store=hybrid", NULL);
    struct redis redis = {.left = 130, .knows_script = true};
    struct sluice_exchange *ex;
    unsigned passed = 0;

    sluice_test_on_redis(test, on_redis, &redis);
    for (int i = 0; i < 300; i++) {
        passed += ask_redis(test, &ex) == SLUICE_NEXT;
        sluice_test_done(ex, true);
        sluice_test_turn(test);
    }
    ck_assert_uint_eq(passed, 130);
    ck_assert_uint_le(redis.n_calls, 20); /* a dry key is not asked for again and again */
    sluice_test_free(&test);
}
END_TEST

START_TEST(failing_memory_never_breaks_a_decision)
{
    bool has_failed = true;

    for (uint64_t n = 1; has_failed && n < 100; n++) {
        struct sluice_test *test = sluice_test_started(&sluice_plugin, "rate=5/s", NULL);
        struct sluice_exchange *ex;

        sluice_test_fail_nth(test, n);
        ask(test, NULL, &ex);
        sluice_test_done(ex, true);
        has_failed = sluice_test_has_failed(test);
        sluice_test_free(&test);
    }
    ck_assert(!has_failed);
}
END_TEST

UNIT_MAIN("plugins/rate_limit", bucket_gives_its_burst_and_then_its_rate,
          bucket_admits_rate_times_time_plus_burst,
          bucket_refuses_for_good_what_costs_more_than_its_burst,
          bucket_that_was_made_smaller_has_nothing_left, window_counts_the_share_of_the_one_before,
          window_that_is_full_itself_says_wait_for_the_next, each_client_has_its_own_bucket,
          ipv6_clients_of_one_network_share, refusal_says_when_to_come_back,
          legacy_fields_are_the_old_three, refused_request_takes_nothing_from_other_limits,
          consumer_is_a_key_and_its_absence_the_address,
          request_without_a_key_can_be_skipped_or_refused,
          slot_is_free_again_when_its_exchange_has_ended, dry_run_lets_pass_and_counts,
          dry_run_beside_a_list_is_for_all_of_it, what_stands_beside_a_list_is_refused,
          slow_rate_with_a_large_burst_is_counted_right, what_was_counted_survives_a_reload,
          workers_share_a_limit, mistakes_are_told_by_their_place,
          redis_decides_and_learns_the_script_once,
          redis_that_is_slow_is_waited_for_no_longer_than_said,
          without_redis_the_failure_rule_holds, hybrid_gives_away_leases_without_asking,
          hybrid_never_gives_more_than_was_granted, failing_memory_never_breaks_a_decision)
