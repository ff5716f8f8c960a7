#include "unit.h"

#include "sluice_test.h"

#include <string.h>

static struct sluice_exchange *ask(struct sluice_test *test, const char *field, const char *value)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    if (field)
        sluice_test_field_add(ex, SLUICE_REQUEST, field, value);
    sluice_test_request_head(ex);
    return ex;
}

START_TEST(without_options_everything_passes)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, NULL);

    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-fault-delay", "5")), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_delay_holds_for_its_time)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "delay=300ms", NULL);
    struct sluice_exchange *ex = ask(test, NULL, NULL);

    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_WAIT);
    ck_assert(sluice_test_metric(test, "active", NULL) == 1);
    sluice_test_advance(test, 299);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_WAIT);
    sluice_test_advance(test, 1);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_NEXT);
    ck_assert(sluice_test_metric(test, "active", NULL) == 0);
    ck_assert_str_eq(sluice_test_notes(ex), "fault_delay");
    sluice_test_free(&test);
}
END_TEST

START_TEST(an_abort_answers_after_the_delay)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "delay=10ms",
                                                   "abort={status: 429, body: slow down}", NULL);
    struct sluice_exchange *ex = ask(test, NULL, NULL);

    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 429);
    ck_assert_str_eq(sluice_test_reply(ex)->content_type, "text/plain");
    ck_assert_str_eq(sluice_test_reply(ex)->body.ptr, "slow down");
    ck_assert_str_eq(sluice_test_reply(ex)->reason, "fault_abort");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_share_is_hit)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "abort.status=503", "abort.share=20%", NULL);
    int hit = 0;

    for (int i = 0; i < 10000; i++) {
        struct sluice_exchange *ex = ask(test, NULL, NULL);

        hit += sluice_test_verdict(ex) == SLUICE_REPLIED;
        sluice_test_done(ex, true);
    }
    ck_assert_int_gt(hit, 1880); /* three standard deviations; the seed is fixed */
    ck_assert_int_lt(hit, 2120);
    ck_assert(sluice_test_metric(test, "injected_total", "abort") == hit);
    sluice_test_free(&test);
}
END_TEST

static double mean_delay(const char *delay, uint64_t least, uint64_t most)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, delay, "max_delay=10s", NULL);
    uint64_t begin = sluice_test_now_us(test), sum;
    unsigned n = 4000;

    sluice_test_wait_limit(test, 20000);
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = sluice_test_now_us(test), took;
        struct sluice_exchange *ex = ask(test, NULL, NULL);

        ck_assert_int_eq(sluice_test_settle(ex), SLUICE_NEXT);
        took = (sluice_test_now_us(test) - before) / 1000;
        ck_assert_uint_ge(took, least);
        ck_assert_uint_le(took, most);
        sluice_test_done(ex, true);
    }
    sum = sluice_test_now_us(test) - begin;
    sluice_test_free(&test);
    return (double)sum / 1000 / n;
}

START_TEST(delays_are_spread_as_told)
{
    double uniform = mean_delay("delay={time: 100ms, to: 300ms, distribution: uniform}", 100, 300);
    double exponential = mean_delay("delay={time: 100ms, distribution: exponential}", 0, 1000);

    ck_assert(uniform > 195 && uniform < 205);
    ck_assert(exponential > 94 && exponential < 106);
}
END_TEST

START_TEST(fields_ask_within_bounds)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "delay_field=x-delay",
                                                   "abort_field=x-abort", "max_delay=50ms", NULL);
    struct sluice_exchange *ex = ask(test, "X-Delay", "900000000");
    uint64_t begin = sluice_test_now_us(test);

    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_now_us(test) - begin, 50000);
    ck_assert_uint_eq(sluice_test_reply(ask(test, "x-abort", "418"))->status, 418);
    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-abort", "99")), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-abort", "700")), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-abort", "5e2")), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-delay", "-1")), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_verdict(ask(test, "x-delay", "9999999999")), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(only_so_many_are_held_at_a_time)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "delay=1s", "max_active=2", NULL);
    struct sluice_exchange *first = ask(test, NULL, NULL), *second = ask(test, NULL, NULL);

    ck_assert_int_eq(sluice_test_verdict(second), SLUICE_WAIT);
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_NEXT);
    ck_assert(sluice_test_metric(test, "injected_total", "skipped") == 1);
    /* a client that leaves makes room */
    sluice_test_done(first, false);
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_WAIT);
    ck_assert(sluice_test_metric(test, "active", NULL) == 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(max_active_is_shared_out_to_the_workers)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    sluice_test_workers(test, 4);
    sluice_test_set(test, "delay=1s");
    sluice_test_set(test, "max_active=4");
    ck_assert(sluice_test_start(test));
    for (uint32_t worker = 0; worker < 4; worker++) {
        sluice_test_on_worker(test, worker);
        ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_WAIT);
        ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_NEXT);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(it_can_be_switched)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "abort=500", NULL);

    ck_assert_ptr_nonnull(strstr(sluice_test_command(test, "off"), "\"enabled\": false"));
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_NEXT);
    ck_assert_ptr_nonnull(strstr(sluice_test_command(test, "configured"), "\"enabled\": true"));
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_REPLIED);
    ck_assert_ptr_nonnull(strstr(sluice_test_command(test, "loud"), "error"));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "abort=500", "enabled=false", NULL);
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_NEXT);
    sluice_test_command(test, "on");
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_REPLIED);
    ck_assert_ptr_nonnull(strstr(sluice_test_report(test), "\"active\": 0"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_timer_that_cannot_be_had_delays_nothing)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "delay=1s", NULL);

    sluice_test_fail_nth(test, 1);
    ck_assert_int_eq(sluice_test_verdict(ask(test, NULL, NULL)), SLUICE_NEXT);
    ck_assert(sluice_test_has_failed(test));
    sluice_test_free(&test);
}
END_TEST

START_TEST(bad_options_are_refused)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    sluice_test_set(test, "delay={time: 20s, to: 1s}");
    sluice_test_set(test, "abort=101");
    ck_assert(!sluice_test_check(test));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "delay.to: it is below delay.time"));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "delay.time: it is above max_delay"));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "abort.status: an interim"));
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/fault", without_options_everything_passes, a_delay_holds_for_its_time,
          an_abort_answers_after_the_delay, a_share_is_hit, delays_are_spread_as_told,
          fields_ask_within_bounds, only_so_many_are_held_at_a_time,
          max_active_is_shared_out_to_the_workers, it_can_be_switched,
          a_timer_that_cannot_be_had_delays_nothing, bad_options_are_refused)
