#include "chain/times.h"
#include "observe/metrics.h"
#include "unit.h"

enum { TICKS_PER_US = 3000 };

static unsigned bucket_of(uint64_t ticks)
{
    struct times times = {0};

    times_add(&times, ticks, times_scale(TICKS_PER_US));
    ck_assert_uint_eq(times_count(&times), 1);
    for (unsigned i = 0; i < TIMES_BUCKETS; i++) {
        if (counter_get(&times.bucket[i]) > 0)
            return i;
    }
    return TIMES_BUCKETS;
}

START_TEST(times_double_from_a_quarter_of_a_microsecond)
{
    ck_assert_uint_eq(bucket_of(0), 0);
    ck_assert_uint_eq(bucket_of(TICKS_PER_US / 4 - 10), 0);
    ck_assert_uint_eq(bucket_of(TICKS_PER_US / 4 + 10), 1);
    ck_assert_uint_eq(bucket_of(TICKS_PER_US - 10), 2);
    ck_assert_uint_eq(bucket_of(TICKS_PER_US + 10), 3);
    ck_assert_uint_eq(bucket_of(8192 * TICKS_PER_US - 100), 15);
    ck_assert_uint_eq(bucket_of(8192 * TICKS_PER_US + 100), 16);
    ck_assert_uint_eq(bucket_of((uint64_t)60 * 1000000 * TICKS_PER_US), 16);
}
END_TEST

START_TEST(times_of_slow_and_fast_clocks_mean_the_same)
{
    for (uint64_t per_us = 1; per_us <= 10000; per_us *= 10) {
        struct times times = {0};

        times_add(&times, 100 * per_us, times_scale(per_us)); /* below 128 us, not below 64 */
        ck_assert_uint_eq(counter_get(&times.bucket[9]), 1);
        ck_assert_double_eq_tol(times_seconds(&times, per_us), 100e-6, 1e-12);
    }
}
END_TEST

static void collect(void *times, struct page *page)
{
    page_family(page, "t", PAGE_HISTOGRAM, "T.");
    times_say(times, TICKS_PER_US, page, NULL, 0);
}

START_TEST(times_are_said_as_a_histogram_in_seconds)
{
    struct times one = {0}, all = {0};
    struct metrics *metrics = metrics_new();
    struct text out;

    times_add(&one, TICKS_PER_US, times_scale(TICKS_PER_US) + 1);
    times_add(&one, (uint64_t)20000 * TICKS_PER_US, times_scale(TICKS_PER_US));
    times_sum(&all, &one);
    times_sum(&all, &one);
    metrics_add(metrics, collect, &all);
    text_init(&out, 1 << 16);
    metrics_print(metrics, &out);
    ck_assert_msg(span_has(text_span(&out), SPAN("t_bucket{le=\"2.5e-07\"} 0\n")), "%s", out.ptr);
    ck_assert(span_has(text_span(&out), SPAN("t_bucket{le=\"2e-06\"} 2\n")));
    ck_assert(span_has(text_span(&out), SPAN("t_bucket{le=\"0.008192\"} 2\n")));
    ck_assert(span_has(text_span(&out), SPAN("t_bucket{le=\"+Inf\"} 4\n")));
    ck_assert(span_has(text_span(&out), SPAN("t_count 4\n")));
    ck_assert(span_has(text_span(&out), SPAN("t_sum 0.040002\n")));
    text_fini(&out);
    metrics_free(&metrics);
}
END_TEST

UNIT_MAIN("chain/times", times_double_from_a_quarter_of_a_microsecond,
          times_of_slow_and_fast_clocks_mean_the_same, times_are_said_as_a_histogram_in_seconds)
