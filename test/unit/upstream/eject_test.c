#include "upstream/eject.h"

#include "unit.h"
#include "upstream/conf_outlier.h"

static const struct outlier_conf conf = {
    .ejection_ms = 1000,
    .ejection_max_ms = 3500,
    .max_percent = 50,
    .rate_hosts = 5,
    .rate_volume = 100,
    .rate_factor = 1900,
    .failure_percent = 80,
    .failure_hosts = 2,
    .failure_volume = 10,
};

static const uint64_t BEGUN = 5000000;

/* -- one endpoint ---------------------------------------------------------- */

static uint64_t next_ms(struct ejection *ejection)
{
    uint64_t ms;

    ejection_begin(ejection, &conf, EJECT_LOCAL, BEGUN, 0);
    ms = (ejection->until_us - BEGUN) / 1000;
    ejection_end(ejection);
    return ms;
}

START_TEST(an_ejection_ends_when_its_time_is_over)
{
    struct ejection ejection = {0};

    ejection_begin(&ejection, &conf, EJECT_5XX, BEGUN, 0);
    ck_assert_int_eq(ejection.cause, EJECT_5XX);
    ck_assert_uint_eq(ejection.since_us, BEGUN);
    ck_assert(!ejection_is_over(&ejection, BEGUN + 999999));
    ck_assert(ejection_is_over(&ejection, BEGUN + 1000000));
    ejection_end(&ejection);
    ck_assert_uint_eq(ejection.until_us, 0);
}
END_TEST

START_TEST(each_ejection_is_longer_up_to_the_maximum)
{
    struct ejection ejection = {0};

    ck_assert_uint_eq(next_ms(&ejection), 1000);
    ck_assert_uint_eq(next_ms(&ejection), 2000);
    ck_assert_uint_eq(next_ms(&ejection), 3000);
    ck_assert_uint_eq(next_ms(&ejection), 3500);
    ck_assert_uint_eq(next_ms(&ejection), 3500);
}
END_TEST

START_TEST(intervals_without_an_ejection_take_it_back)
{
    struct ejection ejection = {0};

    for (unsigned i = 0; i < 100; i++) {
        (void)next_ms(&ejection);
    }
    for (unsigned i = 0; i < 4; i++) {
        ejection_forgive(&ejection);
    }
    ck_assert_uint_eq(next_ms(&ejection), 1000); /* not a hundred intervals later */
    ejection_forgive(&ejection);
    ejection_forgive(&ejection);
    ck_assert_uint_eq(ejection.times, 0);
}
END_TEST

START_TEST(while_it_is_out_nothing_is_taken_back)
{
    struct ejection ejection = {0};

    ejection_begin(&ejection, &conf, EJECT_5XX, BEGUN, 0);
    ejection_forgive(&ejection);
    ck_assert_uint_eq(ejection.times, 1);
}
END_TEST

START_TEST(jitter_is_added_within_its_bound)
{
    struct outlier_conf jittery = conf;
    uint64_t most = 0;

    jittery.jitter_ms = 100;
    for (uint64_t random = 0; random < 1000; random++) {
        struct ejection ejection = {0};
        uint64_t ms;

        ejection_begin(&ejection, &jittery, EJECT_5XX, BEGUN, random * 7919);
        ms = (ejection.until_us - BEGUN) / 1000;
        ck_assert(ms >= 1000 && ms <= 1100);
        most = ms > most ? ms : most;
    }
    ck_assert_uint_eq(most, 1100);
}
END_TEST

/* -- the cap ------------------------------------------------------------------ */

START_TEST(no_more_than_the_cap_are_ejected)
{
    ck_assert(ejection_is_allowed(&conf, 10, 4, 6));
    ck_assert(!ejection_is_allowed(&conf, 10, 5, 5));
    ck_assert(ejection_is_allowed(&conf, 11, 4, 7));
    ck_assert(!ejection_is_allowed(&conf, 11, 5, 6));
}
END_TEST

START_TEST(one_may_be_ejected_whatever_the_cap)
{
    struct outlier_conf strict = conf;

    strict.max_percent = 1;
    ck_assert(ejection_is_allowed(&strict, 2, 0, 2));
    ck_assert(!ejection_is_allowed(&strict, 20, 1, 19));
}
END_TEST

START_TEST(the_last_that_is_well_stays)
{
    struct outlier_conf all = conf;

    all.max_percent = 100;
    ck_assert(!ejection_is_allowed(&all, 1, 0, 1));
    ck_assert(!ejection_is_allowed(&all, 5, 0, 1)); /* the others are out for other reasons */
    ck_assert(ejection_is_allowed(&all, 5, 3, 2));
}
END_TEST

/* -- compared with the others ---------------------------------------------------- */

START_TEST(who_is_worse_than_the_others_stands_out)
{
    struct eject_sample sample[] = {{100, 0}, {99, 1}, {100, 0}, {50, 50}, {98, 2}, {100, 0}};
    double limit = eject_rate_limit(&conf, sample, 6);

    /* mean 0.9117, standard deviation 0.1843 */
    ck_assert_double_eq_tol(limit, 0.9117 - 1.9 * 0.1843, 0.001);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(eject_is_low(&conf, &sample[i], limit), i == 3);
    }
}
END_TEST

START_TEST(all_alike_means_nobody_stands_out)
{
    struct eject_sample bad[] = {{0, 100}, {0, 100}, {0, 100}, {0, 100}, {0, 100}};
    struct eject_sample good[] = {{100, 0}, {100, 0}, {100, 0}, {100, 0}, {100, 0}};

    for (size_t i = 0; i < 5; i++) {
        ck_assert(!eject_is_low(&conf, &bad[i], eject_rate_limit(&conf, bad, 5)));
        ck_assert(!eject_is_low(&conf, &good[i], eject_rate_limit(&conf, good, 5)));
    }
}
END_TEST

START_TEST(too_few_with_enough_requests_are_not_compared)
{
    struct eject_sample sample[] = {{100, 0}, {100, 0}, {100, 0}, {100, 0}, {0, 99}};

    ck_assert_double_eq(eject_rate_limit(&conf, sample, 5), EJECT_NOBODY);
    ck_assert_double_eq(eject_rate_limit(&conf, sample, 0), EJECT_NOBODY);
    sample[4].bad = 100;
    ck_assert(eject_is_low(&conf, &sample[4], eject_rate_limit(&conf, sample, 5)));
}
END_TEST

START_TEST(a_factor_of_zero_compares_nobody)
{
    struct outlier_conf off = conf;
    struct eject_sample sample[] = {{100, 0}, {100, 0}, {100, 0}, {100, 0}, {0, 100}};

    off.rate_factor = 0;
    ck_assert(!eject_is_low(&off, &sample[4], eject_rate_limit(&off, sample, 5)));
}
END_TEST

START_TEST(a_large_part_of_failures_is_too_much)
{
    struct eject_sample sample[] = {{10, 0}, {3, 7}, {2, 8}, {0, 9}};

    ck_assert(eject_looks_at_failures(&conf, sample, 4));
    ck_assert(!eject_looks_at_failures(&conf, sample, 1));
    ck_assert(!eject_fails_much(&conf, &sample[0]));
    ck_assert(!eject_fails_much(&conf, &sample[1]));
    ck_assert(eject_fails_much(&conf, &sample[2]));
    ck_assert(!eject_fails_much(&conf, &sample[3])); /* too few requests */
}
END_TEST

UNIT_MAIN("upstream/eject", an_ejection_ends_when_its_time_is_over,
          each_ejection_is_longer_up_to_the_maximum, intervals_without_an_ejection_take_it_back,
          while_it_is_out_nothing_is_taken_back, jitter_is_added_within_its_bound,
          no_more_than_the_cap_are_ejected, one_may_be_ejected_whatever_the_cap,
          the_last_that_is_well_stays, who_is_worse_than_the_others_stands_out,
          all_alike_means_nobody_stands_out, too_few_with_enough_requests_are_not_compared,
          a_factor_of_zero_compares_nobody, a_large_part_of_failures_is_too_much)
