#include "base/rng.h"

#include "unit.h"

START_TEST(rng_states_differ_from_each_other)
{
    struct rng a, b;

    rng_init(&a);
    rng_init(&b);
    ck_assert(rng_next(&a) != rng_next(&b));
    ck_assert(rng_next(&a) != rng_next(&a));
}
END_TEST

START_TEST(rng_below_stays_below)
{
    static const uint64_t bounds[] = {1, 2, 3, 7, 1000, UINT64_C(1) << 63, UINT64_MAX};
    struct rng rng;

    rng_init(&rng);
    ck_assert_uint_eq(rng_below(&rng, 0), 0);
    for (unsigned i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
        for (int k = 0; k < 1000; k++)
            ck_assert(rng_below(&rng, bounds[i]) < bounds[i]);
}
END_TEST

/* From one fixed state: what passes once passes always. */
START_TEST(rng_below_is_even)
{
    struct rng rng = {{1, 2, 3, 4}};
    unsigned seen[10] = {0};

    for (int i = 0; i < 100000; i++)
        seen[rng_below(&rng, 10)]++;
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_gt(seen[i], 9600);
        ck_assert_uint_lt(seen[i], 10400);
    }
}
END_TEST

START_TEST(rng_sets_every_bit)
{
    struct rng rng = {{1, 2, 3, 4}};
    uint64_t ones = 0;
    uint64_t zeros = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t number = rng_next(&rng);

        ones |= number;
        zeros |= ~number;
    }
    ck_assert(ones == UINT64_MAX);
    ck_assert(zeros == UINT64_MAX);
}
END_TEST

/* The published generator's first numbers from this state. */
START_TEST(rng_is_xoshiro256_starstar)
{
    struct rng rng = {{1, 2, 3, 4}};

    ck_assert_uint_eq(rng_next(&rng), 11520);
    ck_assert_uint_eq(rng_next(&rng), 0);
    ck_assert_uint_eq(rng_next(&rng), 1509978240);
}
END_TEST

UNIT_MAIN("base/rng", rng_states_differ_from_each_other, rng_below_stays_below, rng_below_is_even,
          rng_sets_every_bit, rng_is_xoshiro256_starstar)
