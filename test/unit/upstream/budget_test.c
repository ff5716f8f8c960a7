/*
 * Arithmetic in virtual time: no clock is asked. The one test with threads takes from one budget
 * as fast as it can.
 */
#include "upstream/budget.h"

#include "core/thread.h"

#include "unit.h"

enum { S = 1000000, THREADS = 4, TAKES = 20000 };

static const struct budget_rule fifth = {.share = 0.2, .min_per_second = 3, .interval_ms = 10000};
static const struct budget_rule bare = {.share = 0.2, .min_per_second = 0, .interval_ms = 10000};

static unsigned take_all(struct pace *spent, const struct budget_rule *rule, uint64_t requests,
                         uint64_t now_us)
{
    unsigned n = 0;

    while (n < 100000 && budget_take(spent, rule, requests, now_us)) {
        n++;
    }
    return n;
}

START_TEST(a_pace_forgets_what_is_older_than_the_interval)
{
    struct pace pace = {{0}};

    for (unsigned second = 100; second < 300; second++) {
        for (unsigned i = 0; i < second; i++) {
            pace_note(&pace, (uint64_t)second * S + i);
        }
    }
    ck_assert_uint_eq(pace_sum(&pace, UINT64_C(299) * S, 1), 299);
    ck_assert_uint_eq(pace_sum(&pace, UINT64_C(299) * S, 3), 299 + 298 + 297);
    ck_assert_uint_eq(pace_sum(&pace, UINT64_C(300) * S, 3), 299 + 298);
    ck_assert_uint_eq(pace_sum(&pace, UINT64_C(309) * S, 10), 0);
    ck_assert_uint_eq(pace_sum(&pace, UINT64_C(298) * S, 1), 299 + 298); /* a clock behind ours */
}
END_TEST

START_TEST(the_allowance_is_the_share_or_the_minimum)
{
    ck_assert_uint_eq(budget_allowance(&fifth, 0), 30);
    ck_assert_uint_eq(budget_allowance(&fifth, 150), 30);
    ck_assert_uint_eq(budget_allowance(&fifth, 155), 31);
    ck_assert_uint_eq(budget_allowance(&fifth, 1000000), 200000);
    ck_assert_uint_eq(budget_allowance(&bare, 4), 0);
    ck_assert_uint_eq(budget_allowance(&bare, 5), 1);
}
END_TEST

START_TEST(no_more_than_the_allowance_is_ever_spent)
{
    struct pace spent = {{0}};

    ck_assert_uint_eq(take_all(&spent, &bare, 0, 50 * S), 0);
    ck_assert_uint_eq(take_all(&spent, &bare, 1000, 50 * S), 200);
    ck_assert_uint_eq(take_all(&spent, &bare, 1000, 59 * S), 0);
    ck_assert_uint_eq(take_all(&spent, &bare, 1010, 59 * S), 2);
    ck_assert_uint_eq(take_all(&spent, &bare, 1000, 60 * S), 198);
    ck_assert_uint_eq(take_all(&spent, &bare, 1000, 200 * S), 200);
}
END_TEST

START_TEST(what_is_refused_costs_nothing)
{
    struct pace spent = {{0}};

    take_all(&spent, &bare, 100, 50 * S);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert(!budget_take(&spent, &bare, 100, 50 * S));
    }
    ck_assert_uint_eq(pace_sum(&spent, 50 * S, 10), 20);
    ck_assert(budget_take(&spent, &bare, 105, 50 * S));
}
END_TEST

START_TEST(a_steady_stream_never_exceeds_its_share_in_any_interval)
{
    struct pace spent = {{0}}, requests = {{0}};

    /* Every request fails, 50 a second, for two minutes. */
    for (uint64_t now = 1000 * (uint64_t)S; now < 1120 * (uint64_t)S; now += S / 50) {
        pace_note(&requests, now);
        budget_take(&spent, &bare, pace_sum(&requests, now, 10), now);
        ck_assert_uint_le(5 * pace_sum(&spent, now, 10), pace_sum(&requests, now, 10) + 50);
    }
    ck_assert_uint_ge(pace_sum(&spent, 1119 * (uint64_t)S, 10), 90);
    ck_assert_uint_le(pace_sum(&spent, 1119 * (uint64_t)S, 10), 100);
}
END_TEST

struct taker {
    struct pace *spent;
    uint64_t now_us;
    unsigned taken;
};

static void take_as_fast_as_possible(void *taker_)
{
    struct taker *taker = taker_;

    for (unsigned i = 0; i < TAKES; i++) {
        taker->taken += budget_take(taker->spent, &bare, 5 * THREADS * 1000, taker->now_us);
    }
}

START_TEST(threads_together_never_spend_more)
{
    struct pace spent = {{0}};
    struct taker takers[THREADS];
    struct thread *threads[THREADS];
    unsigned taken = 0;

    /* Their turns began in different seconds. */
    for (unsigned i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){&spent, (uint64_t)(500 + i / 2) * S, 0};
        ck_assert_int_eq(thread_start(&threads[i], "taker", take_as_fast_as_possible, &takers[i]),
                         OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        taken += takers[i].taken;
    }
    ck_assert_uint_le(taken, THREADS * 1000);
    ck_assert_uint_gt(taken, THREADS * 1000 / 2);
}
END_TEST

UNIT_MAIN("upstream/budget", a_pace_forgets_what_is_older_than_the_interval,
          the_allowance_is_the_share_or_the_minimum, no_more_than_the_allowance_is_ever_spent,
          what_is_refused_costs_nothing, a_steady_stream_never_exceeds_its_share_in_any_interval,
          threads_together_never_spend_more)
