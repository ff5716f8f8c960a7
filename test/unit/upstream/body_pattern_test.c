#include "upstream/body_pattern.h"

#include "unit.h"

static struct arena arena;

static struct body_pattern *compile(const char *text)
{
    struct body_pattern *pattern = NULL;
    struct text why;

    arena_init(&arena, NULL, 0);
    text_init(&why, 256);
    ck_assert_int_eq(body_pattern_new(span_of(text), &arena, &why, &pattern), OK);
    text_fini(&why);
    return pattern;
}

START_TEST(it_matches_anywhere_in_bytes)
{
    struct body_pattern *pattern = compile("\"ready\": *true");

    ck_assert(body_pattern_matches(pattern, SPAN("\xff{\"ready\":  true}\n")));
    ck_assert(!body_pattern_matches(pattern, SPAN("{\"ready\": false}")));
    ck_assert(!body_pattern_matches(pattern, span_make(NULL, 0)));
    arena_fini(&arena);
}
END_TEST

START_TEST(groups_need_no_room)
{
    struct body_pattern *pattern = compile("(a)(b)(c)");

    ck_assert(body_pattern_matches(pattern, SPAN("xabcx")));
    arena_fini(&arena);
}
END_TEST

START_TEST(what_takes_too_long_does_not_match)
{
    struct body_pattern *pattern = compile("(a+)+$");
    char many[4000];

    for (size_t i = 0; i < sizeof(many); i++) {
        many[i] = 'a';
    }
    many[sizeof(many) - 1] = 'b';
    ck_assert(!body_pattern_matches(pattern, span_make(many, sizeof(many))));
    arena_fini(&arena);
}
END_TEST

START_TEST(a_malformed_pattern_says_why)
{
    struct body_pattern *pattern;
    struct text why;

    arena_init(&arena, NULL, 0);
    text_init(&why, 256);
    ck_assert_int_eq(body_pattern_new(SPAN("a(b"), &arena, &why, &pattern), ERR_CONFIG);
    ck_assert_str_eq(why.ptr, "missing closing parenthesis at offset 3");
    text_fini(&why);
    arena_fini(&arena);
}
END_TEST

UNIT_MAIN("upstream/body_pattern", it_matches_anywhere_in_bytes, groups_need_no_room,
          what_takes_too_long_does_not_match, a_malformed_pattern_says_why)
