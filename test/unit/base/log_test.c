#include "base/log.h"

#include "base/text.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { TIME_LEN = 27 }; /* "2026-01-31T12:34:56.789012Z" */

static void keep(void *arg, struct sluice_span line)
{
    struct text *kept = arg;

    text_add(kept, line);
}

/* What a line looks like behind its time. */
static void assert_line(struct text *kept, const char *want)
{
    ck_assert_uint_gt(kept->len, TIME_LEN);
    ck_assert_str_eq(kept->ptr + TIME_LEN, want);
    text_reset(kept);
}

START_TEST(log_text_has_time_level_message_and_fields)
{
    struct text kept;

    text_init(&kept, 100000);
    log_set_sink(keep, &kept);
    log_warn("endpoint refused", F_STR("upstream", "orders"), F_ERR(ERR_REFUSED));
    ck_assert_int_eq(kept.ptr[10], 'T');
    ck_assert_int_eq(kept.ptr[TIME_LEN - 1], 'Z');
    assert_line(&kept, " warn  endpoint refused  upstream=orders err=\"connection refused\"\n");
    log_error("no fields");
    assert_line(&kept, " error no fields\n");
    log_info("numbers", F_INT("a", -1), F_INT("b", INT64_MIN), F_UINT("c", UINT64_MAX),
             F_BOOL("d", true), F_BOOL("e", false));
    assert_line(&kept, " info  numbers  a=-1 b=-9223372036854775808 c=18446744073709551615 "
                       "d=true e=false\n");
    log_set_sink(NULL, NULL);
    text_fini(&kept);
}
END_TEST

START_TEST(log_text_quotes_and_escapes_what_would_mislead)
{
    struct text kept;

    text_init(&kept, 100000);
    log_set_sink(keep, &kept);
    log_info("values", F_STR("a", ""), F_STR("b", "x y"), F_STR("c", "x=y"), F_STR("d", "x\"y"),
             F_STR("e", "x\ny"), F_STR("f", "\x1b[2J"), F_SPAN("g", SPAN("a\0b")),
             F_STR("h", "\xff"), F_STR("i", "10.0.3.7:8080"), F_STR("j", NULL));
    assert_line(&kept, " info  values  a=\"\" b=\"x y\" c=\"x=y\" d=\"x\\\"y\" e=\"x\\ny\" "
                       "f=\"\\u001b[2J\" g=\"a\\u0000b\" h=\"\\ufffd\" i=10.0.3.7:8080 j=\"\"\n");
    log_set_sink(NULL, NULL);
    text_fini(&kept);
}
END_TEST

START_TEST(log_json_is_one_object_a_line)
{
    struct text kept;

    text_init(&kept, 100000);
    log_set(LOG_INFO, LOG_JSON);
    log_set_sink(keep, &kept);
    log_warn("endpoint refused", F_STR("upstream", "or\"ders"), F_INT("attempt", 2),
             F_BOOL("last", false));
    ck_assert_int_eq(strncmp(kept.ptr, "{\"time\":\"2", 10), 0);
    ck_assert_str_eq(kept.ptr + 9 + TIME_LEN,
                     "\",\"level\":\"warn\",\"message\":\"endpoint refused\","
                     "\"upstream\":\"or\\\"ders\",\"attempt\":2,\"last\":false}\n");
    log_set_sink(NULL, NULL);
    text_fini(&kept);
}
END_TEST

START_TEST(log_evaluates_nothing_when_the_level_is_off)
{
    struct text kept;
    int asked = 0;

    text_init(&kept, 100000);
    log_set_sink(keep, &kept);
    log_debug("off", F_INT("asked", ++asked));
    ck_assert_int_eq(asked, 0);
    ck_assert_uint_eq(kept.len, 0);
    log_set(LOG_DEBUG, LOG_TEXT);
    ck_assert_int_eq(log_level(), LOG_DEBUG);
    log_debug("on", F_INT("asked", ++asked));
    assert_line(&kept, " debug on  asked=1\n");
    log_set(LOG_ERROR, LOG_TEXT);
    ck_assert(!log_is_on(LOG_WARN));
    ck_assert(log_is_on(LOG_ERROR));
    log_set_sink(NULL, NULL);
    text_fini(&kept);
}
END_TEST

static void log_huge(struct text *kept, enum log_form form)
{
    static char huge[20000];

    memset(huge, 1, sizeof(huge) - 1); /* six bytes each when escaped */
    log_set(LOG_INFO, form);
    log_set_sink(keep, kept);
    log_info(huge);
    ck_assert_uint_eq(span_find(text_span(kept), '\n'), kept->len - 1);
    text_reset(kept);
    log_info("huge", F_STR("a", "first"), F_STR("b", huge), F_STR("c", huge), F_STR("d", "last"));
    log_set_sink(NULL, NULL);
}

START_TEST(log_cuts_long_values_and_stays_one_line)
{
    struct text kept;

    text_init(&kept, 100000);
    log_huge(&kept, LOG_TEXT);
    ck_assert_uint_lt(kept.len, 8192);
    ck_assert(span_has(text_span(&kept), SPAN("a=first b=\"\\u0001")));
    ck_assert(span_has(text_span(&kept), SPAN("\\u0001...\" cut=true\n")));
    ck_assert_uint_eq(span_find(text_span(&kept), '\n'), kept.len - 1);
    text_reset(&kept);
    log_huge(&kept, LOG_JSON);
    ck_assert(span_ends(text_span(&kept), SPAN("\\u0001...\",\"cut\":true}\n")));
    ck_assert_uint_eq(span_find(text_span(&kept), '\n'), kept.len - 1);
    text_fini(&kept);
}
END_TEST

START_TEST(log_goes_to_stderr_without_a_sink)
{
    char said[200] = "";
    int way[2];
    int before = dup(STDERR_FILENO);
    ssize_t n;

    ck_assert_int_eq(pipe(way), 0);
    dup2(way[1], STDERR_FILENO);
    log_warn("to nobody in particular");
    dup2(before, STDERR_FILENO);
    close(before);
    n = read(way[0], said, sizeof(said) - 1);
    ck_assert_int_gt(n, TIME_LEN);
    ck_assert_str_eq(said + TIME_LEN, " warn  to nobody in particular\n");
    close(way[0]);
    close(way[1]);
}
END_TEST

static void fail_with_errno(void *arg, struct sluice_span line)
{
    (void)arg;
    (void)line;
    errno = EIO;
}

START_TEST(log_keeps_errno)
{
    log_set_sink(fail_with_errno, NULL);
    errno = ENOENT;
    log_warn("anything");
    ck_assert_int_eq(errno, ENOENT);
    log_set_sink(NULL, NULL);
}
END_TEST

START_TEST(log_levels_have_names)
{
    enum log_level level = LOG_ERROR;

    for (unsigned i = LOG_ERROR; i <= LOG_TRACE; i++) {
        ck_assert(log_level_find(span_of(log_level_name((enum log_level)i)), &level));
        ck_assert_uint_eq(level, i);
    }
    ck_assert_str_eq(log_level_name(LOG_WARN), "warn");
    ck_assert(!log_level_find(SPAN("warning"), &level));
    ck_assert(!log_level_find(SPAN(""), &level));
}
END_TEST

START_TEST(log_gate_lets_a_burst_pass_and_counts_the_rest)
{
    struct log_gate gate = {.per_second = 1, .burst = 3};
    int passed = 0;

    for (int i = 0; i < 1000; i++)
        passed += log_gate_pass(&gate);
    /* More only if the machine slept for seconds in between; never nearly all. */
    ck_assert_int_ge(passed, 3);
    ck_assert_int_lt(passed, 500);
}
END_TEST

START_TEST(log_line_after_a_gate_says_what_was_suppressed)
{
    struct log_gate gate = {.per_second = 1, .burst = 1};
    struct text kept;

    text_init(&kept, 1000);
    log_set_sink(keep, &kept);
    ck_assert(log_gate_pass(&gate));
    log_warn("first");
    assert_line(&kept, " warn  first\n");
    gate.suppressed = 41;
    gate.state = UINT64_MAX / 2; /* paid for long after now */
    ck_assert(!log_gate_pass(&gate));
    gate.state = 0;
    ck_assert(log_gate_pass(&gate));
    log_warn("again", F_INT("a", 1));
    assert_line(&kept, " warn  again  suppressed=42 a=1\n");
    ck_assert_uint_eq(gate.suppressed, 0);
    log_warn("and then");
    assert_line(&kept, " warn  and then\n");
    log_set_sink(NULL, NULL);
    text_fini(&kept);
}
END_TEST

struct pair {
    unsigned lines;
    const struct pair *self;
};

static void count_whole_pairs(void *arg, struct sluice_span line)
{
    struct pair *pair = arg;

    (void)line;
    if (pair->self != pair)
        abort();
    __atomic_add_fetch(&pair->lines, 1, __ATOMIC_RELAXED);
}

static void *write_lines(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++)
        log_info("line", F_INT("i", i));
    return NULL;
}

START_TEST(log_threads_see_sink_and_argument_together)
{
    struct pair pairs[2] = {{.self = &pairs[0]}, {.self = &pairs[1]}};
    pthread_t threads[2];

    log_set_sink(count_whole_pairs, &pairs[0]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    for (int i = 0; i < 2000; i++)
        log_set_sink(count_whole_pairs, &pairs[i % 2]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    log_set_sink(NULL, NULL);
    ck_assert_uint_eq(pairs[0].lines + pairs[1].lines, 4000);
}
END_TEST

UNIT_MAIN("base/log", log_text_has_time_level_message_and_fields,
          log_text_quotes_and_escapes_what_would_mislead, log_json_is_one_object_a_line,
          log_evaluates_nothing_when_the_level_is_off, log_cuts_long_values_and_stays_one_line,
          log_goes_to_stderr_without_a_sink, log_keeps_errno, log_levels_have_names,
          log_gate_lets_a_burst_pass_and_counts_the_rest,
          log_line_after_a_gate_says_what_was_suppressed,
          log_threads_see_sink_and_argument_together)
