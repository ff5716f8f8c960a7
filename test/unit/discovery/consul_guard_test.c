/* Rules 16 and 19: what takes endpoints away has to be confirmed. */
#include "discovery/consul_guard.h"

#include "unit.h"

static const struct consul_guard_rules usual = {
    .on_empty = CONSUL_EMPTY_CONFIRM, .shrink = 0.5, .grace_ms = 10000};

static const uint64_t second = 1000000, start = 1000000000;

static enum consul_guard_verdict judge(struct consul_guard *guard,
                                       const struct consul_guard_rules *rules, size_t n_known,
                                       size_t n_new, bool confirms, uint64_t now_us)
{
    const struct consul_guard_question question = {
        .n_known = n_known, .n_new = n_new, .confirms = confirms, .now_us = now_us};

    return consul_guard_judge(guard, rules, &question);
}

START_TEST(more_or_a_little_less_passes)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 0, 5, false, start), GUARD_PASS);
    ck_assert_int_eq(judge(&guard, &usual, 5, 5, false, start), GUARD_PASS);
    ck_assert_int_eq(judge(&guard, &usual, 5, 9, false, start), GUARD_PASS);
    ck_assert_int_eq(judge(&guard, &usual, 10, 5, false, start), GUARD_PASS);
    ck_assert_uint_eq(guard.held_us, 0);
}
END_TEST

START_TEST(empty_from_the_first_is_nothing_to_guard)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 0, 0, false, start), GUARD_PASS);
}
END_TEST

START_TEST(empty_is_held_until_a_second_read_agrees_and_the_grace_is_over)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 5, 0, false, start), GUARD_EMPTY);
    ck_assert_int_eq(judge(&guard, &usual, 5, 0, false, start + 20 * second), GUARD_EMPTY);
    ck_assert_int_eq(judge(&guard, &usual, 5, 0, true, start + 9 * second), GUARD_EMPTY);
    ck_assert_int_eq(judge(&guard, &usual, 5, 0, true, start + 10 * second), GUARD_PASS);
    ck_assert_uint_eq(guard.held_us, 0);
}
END_TEST

START_TEST(a_read_on_purpose_alone_confirms_nothing)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 5, 0, true, start), GUARD_EMPTY);
}
END_TEST

START_TEST(a_second_read_that_has_them_ends_the_hold)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 5, 0, false, start), GUARD_EMPTY);
    ck_assert_int_eq(judge(&guard, &usual, 5, 5, true, start + second), GUARD_PASS);
    ck_assert_uint_eq(guard.held_us, 0);
    ck_assert_int_eq(judge(&guard, &usual, 5, 0, true, start + 60 * second), GUARD_EMPTY);
}
END_TEST

START_TEST(a_big_step_is_held_for_its_grace)
{
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &usual, 10, 4, false, start), GUARD_SHRUNK);
    ck_assert_int_eq(judge(&guard, &usual, 10, 4, true, start + 5 * second), GUARD_SHRUNK);
    ck_assert_int_eq(judge(&guard, &usual, 10, 4, true, start + 10 * second), GUARD_PASS);
}
END_TEST

START_TEST(a_stricter_share_needs_the_second_read_but_no_grace)
{
    const struct consul_guard_rules strict = {.shrink = 0.1, .grace_ms = 10000};
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &strict, 10, 8, false, start), GUARD_SHRUNK);
    ck_assert_int_eq(judge(&guard, &strict, 10, 8, true, start + second), GUARD_PASS);
}
END_TEST

START_TEST(after_a_lost_connection_empty_is_doubted_for_longer)
{
    struct consul_guard guard = {.held_us = 0};
    struct consul_guard_question question = {
        .n_known = 5, .n_new = 0, .suspect_till_us = start + 60 * second, .now_us = start};

    ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_EMPTY);
    question.confirms = true;
    question.now_us = start + 59 * second;
    ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_EMPTY);
    question.now_us = start + 60 * second;
    ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_PASS);
}
END_TEST

START_TEST(what_the_token_may_not_see_is_never_confirmed)
{
    struct consul_guard guard = {.held_us = 0};
    struct consul_guard_question question = {
        .n_known = 5, .n_new = 0, .hidden = true, .confirms = true, .now_us = start};

    for (unsigned i = 0; i < 100; i++) {
        question.now_us += 60 * second;
        ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_HIDDEN);
    }
    question.n_known = 0; /* not even when nothing is known: it is not empty, but unknown */
    ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_HIDDEN);
    question.n_known = question.n_new = 5; /* nothing of ours is hidden */
    ck_assert_int_eq(consul_guard_judge(&guard, &usual, &question), GUARD_PASS);
}
END_TEST

START_TEST(the_operator_may_keep_or_accept)
{
    const struct consul_guard_rules keep = {.on_empty = CONSUL_EMPTY_KEEP, .shrink = 0.5};
    const struct consul_guard_rules accept = {.on_empty = CONSUL_EMPTY_ACCEPT, .shrink = 0.5};
    struct consul_guard guard = {.held_us = 0};

    ck_assert_int_eq(judge(&guard, &keep, 5, 0, false, start), GUARD_EMPTY);
    ck_assert_int_eq(judge(&guard, &keep, 5, 0, true, start + 3600 * second), GUARD_EMPTY);
    guard = (struct consul_guard){.held_us = 0};
    ck_assert_int_eq(judge(&guard, &accept, 5, 0, false, start), GUARD_PASS);
    ck_assert_int_eq(judge(&guard, &accept, 5, 1, false, start), GUARD_SHRUNK);
}
END_TEST

START_TEST(reads_on_purpose_come_after_one_to_three_seconds_and_then_less_often)
{
    struct consul_guard guard = {.reads = 1};
    struct rng rng;

    rng_init(&rng);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t ms = consul_guard_delay(&guard, &rng);

        ck_assert_uint_ge(ms, 1000);
        ck_assert_uint_le(ms, 3000);
    }
    guard.reads = 1000;
    ck_assert_uint_eq(consul_guard_delay(&guard, &rng), 30000);
}
END_TEST

UNIT_MAIN("discovery/consul_guard", more_or_a_little_less_passes,
          empty_from_the_first_is_nothing_to_guard,
          empty_is_held_until_a_second_read_agrees_and_the_grace_is_over,
          a_read_on_purpose_alone_confirms_nothing, a_second_read_that_has_them_ends_the_hold,
          a_big_step_is_held_for_its_grace, a_stricter_share_needs_the_second_read_but_no_grace,
          after_a_lost_connection_empty_is_doubted_for_longer,
          what_the_token_may_not_see_is_never_confirmed, the_operator_may_keep_or_accept,
          reads_on_purpose_come_after_one_to_three_seconds_and_then_less_often)
