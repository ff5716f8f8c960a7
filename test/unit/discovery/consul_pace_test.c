/* Rule 7: a token bucket for each watch, and full jitter after errors. */
#include "discovery/consul_pace.h"

#include "unit.h"

static const uint64_t second = 1000000;

START_TEST(a_burst_passes_and_then_one_every_two_seconds)
{
    struct consul_pace pace = {.waits = 0};
    uint64_t now = 1000 * second;

    ck_assert_uint_eq(consul_pace_take(&pace, now), 0);
    ck_assert_uint_eq(consul_pace_take(&pace, now), 0);
    ck_assert_uint_eq(consul_pace_take(&pace, now), 2000);
    ck_assert_uint_eq(consul_pace_take(&pace, now + 2 * second), 2000);
}
END_TEST

START_TEST(who_waits_as_long_as_a_token_takes_never_waits)
{
    struct consul_pace pace = {.waits = 0};

    for (uint64_t i = 1; i < 1000; i++)
        ck_assert_uint_eq(consul_pace_take(&pace, i * 2 * second), 0);
}
END_TEST

START_TEST(churn_without_end_slows_down_to_fifteen_seconds_and_recovers)
{
    struct consul_pace pace = {.waits = 0};
    uint64_t now = second, asked = 0;

    for (unsigned i = 0; i < 200; i++) {
        uint64_t wait_ms = consul_pace_take(&pace, now);

        ck_assert_uint_le(wait_ms, CONSUL_PACE_SLOW_MS);
        now += wait_ms * 1000;
        asked = wait_ms;
    }
    ck_assert_uint_eq(asked, CONSUL_PACE_SLOW_MS);
    now += 60 * second;
    ck_assert_uint_eq(consul_pace_take(&pace, now), 0);
    ck_assert_uint_eq(consul_pace_take(&pace, now), 0);
    ck_assert_uint_eq(consul_pace_take(&pace, now), CONSUL_PACE_MS);
}
END_TEST

START_TEST(backoff_is_spread_from_nothing_to_a_bound_that_doubles)
{
    struct rng rng;

    rng_init(&rng);
    for (unsigned errors = 1; errors < 100; errors++) {
        uint64_t bound = 250, min = UINT64_MAX, max = 0;

        for (unsigned i = 1; i < errors && bound < 30000; i++)
            bound = bound * 2 < 30000 ? bound * 2 : 30000;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t ms = consul_pace_backoff(errors, &rng);

            min = ms < min ? ms : min;
            max = ms > max ? ms : max;
        }
        ck_assert_uint_le(max, bound);
        ck_assert_uint_gt(max, bound * 9 / 10);
        ck_assert_uint_lt(min, bound / 10);
    }
}
END_TEST

UNIT_MAIN("discovery/consul_pace", a_burst_passes_and_then_one_every_two_seconds,
          who_waits_as_long_as_a_token_takes_never_waits,
          churn_without_end_slows_down_to_fifteen_seconds_and_recovers,
          backoff_is_spread_from_nothing_to_a_bound_that_doubles)
