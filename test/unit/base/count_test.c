#include "base/count.h"

#include "unit.h"

START_TEST(counter_goes_up_and_down)
{
    struct counter counter = {0};

    counter_add(&counter, 5);
    counter_sub(&counter, 2);
    ck_assert_uint_eq(counter_get(&counter), 3);
}
END_TEST

static unsigned bucket_of(uint64_t us)
{
    struct histogram histogram = {.sum_us = {0}};
    unsigned at = HISTOGRAM_BUCKETS;

    histogram_add(&histogram, us);
    ck_assert(counter_get(&histogram.sum_us) == us);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (counter_get(&histogram.bucket[i]) == 0)
            continue;
        ck_assert_uint_eq(at, HISTOGRAM_BUCKETS); /* in one bucket only */
        at = i;
    }
    return at;
}

START_TEST(histogram_buckets_end_below_powers_of_two)
{
    ck_assert_uint_eq(bucket_of(0), 0);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t bound = (uint64_t)HISTOGRAM_FIRST_US << i;

        ck_assert_uint_eq(bucket_of(bound - 1), i);
        ck_assert_uint_eq(bucket_of(bound), i + 1);
    }
}
END_TEST

START_TEST(histogram_counts_all_the_rest_in_the_last_bucket)
{
    ck_assert_uint_eq(bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    ck_assert_uint_eq(bucket_of((uint64_t)HISTOGRAM_FIRST_US << HISTOGRAM_BUCKETS),
                      HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(histogram_sums_up)
{
    struct histogram histogram = {.sum_us = {0}};

    histogram_add(&histogram, 10);
    histogram_add(&histogram, 20);
    histogram_add(&histogram, 100);
    ck_assert_uint_eq(counter_get(&histogram.bucket[0]), 2);
    ck_assert_uint_eq(counter_get(&histogram.bucket[1]), 1);
    ck_assert_uint_eq(counter_get(&histogram.sum_us), 130);
}
END_TEST

UNIT_MAIN("base/count", counter_goes_up_and_down, histogram_buckets_end_below_powers_of_two,
          histogram_counts_all_the_rest_in_the_last_bucket, histogram_sums_up)
