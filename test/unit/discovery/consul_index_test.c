/* Rules 6 and 8 of the index, answer by answer. */
#include "discovery/consul_index.h"

#include "unit.h"

START_TEST(a_first_answer_counts_once_it_is_applied)
{
    struct consul_index index = {.at = 0};

    ck_assert_int_eq(consul_index_take(&index, SPAN("42")), INDEX_NEWS);
    ck_assert_uint_eq(index.at, 0); /* rule 8: not before */
    consul_index_commit(&index);
    ck_assert_uint_eq(index.at, 42);
}
END_TEST

START_TEST(the_same_index_is_a_wait_that_ran_out)
{
    struct consul_index index = {.at = 42};

    ck_assert_int_eq(consul_index_take(&index, SPAN("42")), INDEX_SAME);
    ck_assert_uint_eq(index.at, 42);
    ck_assert(!index.suspicious);
}
END_TEST

START_TEST(a_lower_index_starts_anew_and_is_not_applied)
{
    struct consul_index index = {.at = 42};

    ck_assert_int_eq(consul_index_take(&index, SPAN("7")), INDEX_REREAD);
    ck_assert_uint_eq(index.at, 0);
    ck_assert_uint_eq(index.resets, 1);
    ck_assert_int_eq(consul_index_take(&index, SPAN("7")), INDEX_NEWS);
    consul_index_commit(&index);
    ck_assert_uint_eq(index.at, 7);
}
END_TEST

START_TEST(no_index_or_zero_is_asked_with_one_and_suspicious)
{
    const struct sluice_span texts[] = {{NULL, 0}, SPAN("0"), SPAN(""), SPAN("x"), SPAN("-1")};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct consul_index index = {.at = 42};

        ck_assert_int_eq(consul_index_take(&index, texts[i]), INDEX_NEWS);
        ck_assert(index.suspicious);
        consul_index_commit(&index);
        ck_assert_uint_eq(index.at, 1); /* never 0: that would not wait */
        /* and again: with an index that says nothing, only the content can */
        ck_assert_int_eq(consul_index_take(&index, texts[i]), INDEX_NEWS);
    }
}
END_TEST

START_TEST(an_index_is_a_whole_u64)
{
    struct consul_index index = {.at = 0};

    ck_assert_int_eq(consul_index_take(&index, SPAN("18446744073709551615")), INDEX_NEWS);
    consul_index_commit(&index);
    ck_assert_uint_eq(index.at, UINT64_MAX);
    ck_assert_int_eq(consul_index_take(&index, SPAN("18446744073709551616")), INDEX_NEWS);
    ck_assert(index.suspicious);
}
END_TEST

START_TEST(errors_keep_the_index_but_not_for_ever)
{
    struct consul_index index = {.at = 42};

    for (unsigned i = 0; i < CONSUL_INDEX_ERRORS; i++) {
        consul_index_fail(&index);
        ck_assert_uint_eq(index.at, 42);
    }
    consul_index_fail(&index);
    ck_assert_uint_eq(index.at, 0);
}
END_TEST

START_TEST(an_answer_ends_the_row_of_errors)
{
    struct consul_index index = {.at = 42};

    for (unsigned i = 0; i < CONSUL_INDEX_ERRORS; i++)
        consul_index_fail(&index);
    ck_assert_int_eq(consul_index_take(&index, SPAN("42")), INDEX_SAME);
    consul_index_fail(&index);
    ck_assert_uint_eq(index.at, 42);
}
END_TEST

START_TEST(an_answer_that_is_not_committed_changes_nothing)
{
    struct consul_index index = {.at = 42};

    ck_assert_int_eq(consul_index_take(&index, SPAN("50")), INDEX_NEWS);
    ck_assert_int_eq(consul_index_take(&index, SPAN("42")), INDEX_SAME);
    ck_assert_int_eq(consul_index_take(&index, SPAN("50")), INDEX_NEWS);
    consul_index_reset(&index);
    ck_assert_uint_eq(index.at, 0);
}
END_TEST

UNIT_MAIN("discovery/consul_index", a_first_answer_counts_once_it_is_applied,
          the_same_index_is_a_wait_that_ran_out, a_lower_index_starts_anew_and_is_not_applied,
          no_index_or_zero_is_asked_with_one_and_suspicious, an_index_is_a_whole_u64,
          errors_keep_the_index_but_not_for_ever, an_answer_ends_the_row_of_errors,
          an_answer_that_is_not_committed_changes_nothing)
