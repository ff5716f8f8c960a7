#include "base/check.h"

#include "base/log.h"
#include "unit.h"

#include <string.h>

static void break_a_promise(void)
{
    int one = 1;

    CHECK(one == 2);
}

static void keep_a_promise(void)
{
    int one = 1;

    CHECK(one == 1);
}

START_TEST(check_aborts_when_it_does_not_hold)
{
    ck_assert(unit_aborts(break_a_promise));
    ck_assert(!unit_aborts(keep_a_promise));
}
END_TEST

START_TEST(check_says_what_and_where_with_a_backtrace)
{
    char said[4096] = "";
    int way[2];
    size_t len = 0;
    pid_t child;
    ssize_t n;

    ck_assert_int_eq(pipe(way), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(way[1], STDERR_FILENO);
        check_failed("the sky is blue", "sky.c", 7);
    }
    close(way[1]);
    while (len < sizeof(said) - 1 && (n = read(way[0], said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)n;
    waitpid(child, NULL, 0);
    ck_assert_ptr_nonnull(strstr(said, "sky.c:7:"));
    ck_assert_ptr_nonnull(strstr(said, "the sky is blue"));
    ck_assert_ptr_nonnull(strstr(said, "check_test("));
}
END_TEST

START_TEST(bug_is_silent_when_there_is_none)
{
    int one = 1;

    ck_assert(!BUG(one == 2));
    ck_assert_uint_eq(bug_count(), 0);
}
END_TEST

#ifdef SLUICE_DEBUG

static void meet_a_bug(void)
{
    int one = 1;

    (void)BUG(one == 1);
}

START_TEST(bug_is_fatal_or_counted_by_the_build)
{
    ck_assert(unit_aborts(meet_a_bug));
}
END_TEST

#else

static void count_line(void *arg, struct sluice_span line)
{
    int *lines = arg;

    ck_assert(span_has(line, SPAN("what=\"one == 1\"")));
    ck_assert(span_has(line, SPAN("check_test.c")));
    (*lines)++;
}

START_TEST(bug_is_fatal_or_counted_by_the_build)
{
    int one = 1;
    int lines = 0;

    log_set_sink(count_line, &lines);
    for (int i = 0; i < 1000; i++)
        ck_assert(BUG(one == 1));
    log_set_sink(NULL, NULL);
    ck_assert_uint_eq(bug_count(), 1000);
    ck_assert_int_ge(lines, 1);
    ck_assert_int_lt(lines, 1000); /* the log is not flooded */
}
END_TEST

#endif

UNIT_MAIN("base/check", check_aborts_when_it_does_not_hold,
          check_says_what_and_where_with_a_backtrace, bug_is_silent_when_there_is_none,
          bug_is_fatal_or_counted_by_the_build)
