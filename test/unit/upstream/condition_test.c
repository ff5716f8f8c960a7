#include "upstream/condition.h"

#include "unit.h"

enum { RISE = 2, FALL = 3 };

static bool note(struct condition *condition, bool passed)
{
    return condition_note(condition, passed, RISE, FALL);
}

START_TEST(the_first_check_decides_alone)
{
    struct condition passed = {0}, failed = {0};

    ck_assert(note(&passed, true));
    ck_assert_int_eq(passed.state, CONDITION_WELL);
    ck_assert(note(&failed, false));
    ck_assert_int_eq(failed.state, CONDITION_UNWELL);
}
END_TEST

START_TEST(who_is_well_falls_after_enough_failures_in_a_row)
{
    struct condition condition = {0};

    ck_assert(note(&condition, true));
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(!note(&condition, false));
        ck_assert(!note(&condition, false));
        ck_assert(!note(&condition, true)); /* ends the row */
    }
    ck_assert(!note(&condition, false));
    ck_assert(!note(&condition, false));
    ck_assert(note(&condition, false));
    ck_assert_int_eq(condition.state, CONDITION_UNWELL);
    ck_assert(!note(&condition, false));
}
END_TEST

START_TEST(who_is_unwell_rises_after_enough_passes_in_a_row)
{
    struct condition condition = {0};

    ck_assert(note(&condition, false));
    ck_assert(!note(&condition, true));
    ck_assert(!note(&condition, false));
    ck_assert(!note(&condition, true));
    ck_assert(note(&condition, true));
    ck_assert_int_eq(condition.state, CONDITION_WELL);
}
END_TEST

START_TEST(thresholds_of_one_follow_each_check)
{
    struct condition condition = {0};

    for (unsigned i = 0; i < 10; i++) {
        ck_assert(condition_note(&condition, i % 2 == 0, 1, 1));
    }
}
END_TEST

UNIT_MAIN("upstream/condition", the_first_check_decides_alone,
          who_is_well_falls_after_enough_failures_in_a_row,
          who_is_unwell_rises_after_enough_passes_in_a_row, thresholds_of_one_follow_each_check)
