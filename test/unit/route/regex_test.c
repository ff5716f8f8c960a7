#include "route/regex.h"

#include "unit.h"

#include <string.h>

struct regex_case {
    struct arena arena;
    struct text why;
    struct route_scratch *scratch;
    struct route_regex *regex;
};

static enum err regex_open(struct regex_case *it, const char *pattern)
{
    memset(it, 0, sizeof *it);
    arena_init(&it->arena, NULL, 0);
    text_init(&it->why, 512);
    it->scratch = route_scratch_new();
    return regex_new(span_of(pattern), &it->arena, &it->why, &it->regex);
}

static void regex_close(struct regex_case *it)
{
    text_fini(&it->why);
    route_scratch_free(&it->scratch);
    ck_assert_ptr_null(it->scratch);
    route_scratch_free(&it->scratch);
    arena_fini(&it->arena);
}

START_TEST(groups_are_parts_of_the_subject)
{
    struct regex_case it;
    struct sluice_span subject = SPAN("xab");

    ck_assert_int_eq(regex_open(&it, "(a)(z)?(b)"), OK);
    ck_assert_uint_eq(regex_groups(it.regex), 3);
    ck_assert_int_eq(regex_match(it.regex, subject, it.scratch), REGEX_YES);
    ck_assert(span_equal(regex_group(it.scratch, subject, 0), SPAN("ab")));
    ck_assert(span_equal(regex_group(it.scratch, subject, 1), SPAN("a")));
    ck_assert_uint_eq(regex_group(it.scratch, subject, 2).len, 0);
    ck_assert(span_equal(regex_group(it.scratch, subject, 3), SPAN("b")));
    ck_assert_uint_eq(regex_group(it.scratch, subject, 9).len, 0);
    ck_assert_uint_eq(regex_group(it.scratch, subject, 10).len, 0);
    ck_assert_int_eq(regex_match(it.regex, SPAN("ba"), it.scratch), REGEX_NO);
    regex_close(&it);
}
END_TEST

START_TEST(dollar_is_the_very_end_and_empty_subjects_match)
{
    struct regex_case it;

    ck_assert_int_eq(regex_open(&it, "^a?$"), OK);
    ck_assert_int_eq(regex_match(it.regex, SPAN("a\n"), it.scratch), REGEX_NO);
    ck_assert_int_eq(regex_match(it.regex, span_make(NULL, 0), it.scratch), REGEX_YES);
    regex_close(&it);
}
END_TEST

START_TEST(costly_matches_are_given_up)
{
    struct regex_case it;

    ck_assert_int_eq(regex_open(&it, "^(a|aa)+$"), OK);
    ck_assert_int_eq(
        regex_match(it.regex, SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), it.scratch),
        REGEX_GAVE_UP);
    ck_assert_int_eq(regex_match(it.regex, SPAN("aaa"), it.scratch), REGEX_YES);
    regex_close(&it);
}
END_TEST

START_TEST(long_subjects_leave_unanchored_patterns_fewer_steps)
{
    static char subject[4000];
    struct regex_case it;

    memset(subject, 'a', sizeof subject);
    memcpy(subject + sizeof subject - 3, "1cb", 3);
    ck_assert_int_eq(regex_open(&it, "(?:a|b)*1b"), OK);
    ck_assert_int_eq(regex_match(it.regex, span_make(subject, sizeof subject), it.scratch),
                     REGEX_GAVE_UP);
    ck_assert_int_eq(regex_match(it.regex, SPAN("aaaaaaaa1cb"), it.scratch), REGEX_NO);
    regex_close(&it);
    ck_assert_int_eq(regex_open(&it, "^(?:a|b)*1b"), OK);
    ck_assert_int_eq(regex_match(it.regex, span_make(subject, sizeof subject), it.scratch),
                     REGEX_NO);
    regex_close(&it);
}
END_TEST

START_TEST(deep_recursion_is_given_up)
{
    struct regex_case it;
    char subject[20001];

    memset(subject, '(', sizeof subject - 1);
    memcpy(subject + sizeof subject - 2, ")", 2);
    ck_assert_int_eq(regex_open(&it, "^(\\((?1)*\\))+$"), OK);
    ck_assert_int_eq(regex_match(it.regex, span_of(subject), it.scratch), REGEX_GAVE_UP);
    regex_close(&it);
}
END_TEST

START_TEST(malformed_patterns_are_told_with_the_offset)
{
    struct regex_case it;
    char pattern[5001];

    ck_assert_int_eq(regex_open(&it, "ab["), ERR_CONFIG);
    ck_assert_msg(strstr(it.why.ptr, "at offset 3") != NULL, "%s", it.why.ptr);
    regex_close(&it);
    memset(pattern, 'a', sizeof pattern - 1);
    pattern[sizeof pattern - 1] = '\0';
    ck_assert_int_eq(regex_open(&it, pattern), ERR_CONFIG);
    ck_assert_str_eq(it.why.ptr, "it is longer than 4096 bytes");
    regex_close(&it);
}
END_TEST

START_TEST(patterns_cannot_switch_to_utf_or_raise_limits)
{
    struct regex_case it;

    ck_assert_int_eq(regex_open(&it, "(*UTF)a"), ERR_CONFIG);
    regex_close(&it);
    ck_assert_int_eq(regex_open(&it, "(*LIMIT_MATCH=4000000000)^(a|aa)+$"), OK);
    ck_assert_int_eq(
        regex_match(it.regex, SPAN("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), it.scratch),
        REGEX_GAVE_UP);
    regex_close(&it);
}
END_TEST

START_TEST(literal_start_promises_no_more_than_the_pattern)
{
    static const char *const rows[][2] = {
        {"^/item/[0-9]+$", "/item/"},
        {"/item", ""},
        {"^/item|x", ""},
        {"^/items?", "/item"},
        {"^/a*", "/"},
        {"^/a{0}", "/"},
        {"^/a+", "/a"},
        {"^/a\\d", "/a"},
        {"^", ""},
        {"^/a$", "/a"},
        {"^(/a)", ""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct regex_case it;

        ck_assert_int_eq(regex_open(&it, rows[i][0]), OK);
        ck_assert_msg(span_equal(regex_literal(it.regex), span_of(rows[i][1])), "%s", rows[i][0]);
        regex_close(&it);
    }
}
END_TEST

UNIT_MAIN("route/regex", groups_are_parts_of_the_subject,
          dollar_is_the_very_end_and_empty_subjects_match, costly_matches_are_given_up,
          long_subjects_leave_unanchored_patterns_fewer_steps, deep_recursion_is_given_up,
          malformed_patterns_are_told_with_the_offset,
          patterns_cannot_switch_to_utf_or_raise_limits,
          literal_start_promises_no_more_than_the_pattern)
