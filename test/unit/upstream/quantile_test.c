#include "upstream/quantile.h"

#include "unit.h"

START_TEST(nothing_is_said_of_few)
{
    struct quantile q = {.n = 0};

    for (int i = 0; i < QUANTILE_LEAST - 1; i++)
        quantile_add(&q, 1000);
    ck_assert_uint_eq(quantile_at(&q, 0.95), 0);
    quantile_add(&q, 1000);
    ck_assert_uint_gt(quantile_at(&q, 0.95), 1000);
}
END_TEST

START_TEST(a_time_is_within_an_eighth_of_the_truth)
{
    static const uint64_t times[] = {0,   1,    15,   16,   17,    31,      32,
                                     999, 1000, 1023, 1024, 65537, 12345678};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct quantile q = {.n = 0};

        for (int n = 0; n < QUANTILE_LEAST; n++)
            quantile_add(&q, times[i]);
        ck_assert_uint_gt(quantile_at(&q, 0.5), times[i]);
        ck_assert_uint_le(quantile_at(&q, 0.5), times[i] + times[i] / 8 + 1);
    }
}
END_TEST

START_TEST(the_share_counts)
{
    struct quantile q = {.n = 0};

    for (int i = 0; i < 1000; i++)
        quantile_add(&q, i < 940 ? 1000 : 100000);
    ck_assert_uint_lt(quantile_at(&q, 0.9), 1200);
    ck_assert_uint_gt(quantile_at(&q, 0.95), 100000);
}
END_TEST

START_TEST(what_was_long_ago_fades)
{
    struct quantile q = {.n = 0};

    for (int i = 0; i < 10000; i++)
        quantile_add(&q, 100000);
    for (int i = 0; i < 20000; i++)
        quantile_add(&q, 1000);
    ck_assert_uint_lt(quantile_at(&q, 0.95), 1200);
}
END_TEST

START_TEST(what_is_very_long_counts_as_long)
{
    struct quantile q = {.n = 0};

    for (int i = 0; i < QUANTILE_LEAST; i++)
        quantile_add(&q, UINT64_MAX);
    ck_assert_uint_gt(quantile_at(&q, 0.5), UINT64_C(1) << 29);
}
END_TEST

UNIT_MAIN("upstream/quantile", nothing_is_said_of_few, a_time_is_within_an_eighth_of_the_truth,
          the_share_counts, what_was_long_ago_fades, what_is_very_long_counts_as_long)
