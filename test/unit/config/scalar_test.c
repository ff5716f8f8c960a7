#include "sample.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct bench bench;

/* Bind "v: YAML" to shape at out. */
static enum err bind_one(const struct shape *shape, const char *yaml, void *out)
{
    char text[1000];

    snprintf(text, sizeof(text), "v: %s\n", yaml);
    if (bench_parse(&bench, text))
        return ERR_CONFIG;
    return shape_bind(&bench.bind, shape, tree_find(bench.tree, SPAN("v")), out);
}

static void assert_number(const struct shape *shape, const char *yaml, uint64_t want)
{
    uint64_t value = 99;

    bench_init(&bench);
    ck_assert_int_eq(bind_one(shape, yaml, &value), OK);
    ck_assert_uint_eq(value, want);
    bench_fini(&bench);
}

/* yaml is refused with "message" and below it "hint" ("" for none). */
static void assert_refused(const struct shape *shape, const char *yaml, const char *message,
                           const char *hint)
{
    uint64_t out[4];
    char want[1000];

    bench_init(&bench);
    ck_assert_int_eq(bind_one(shape, yaml, out), ERR_CONFIG);
    ck_assert_uint_eq(notes_errors(bench.notes), 1);
    snprintf(want, sizeof(want), "t.yaml:1:4: error: %s\n", message);
    ck_assert_msg(span_starts(span_of(bench_told(&bench)), span_of(want)), "%s",
                  bench_told(&bench));
    snprintf(want, sizeof(want), "^%s%s\n1 error\n", *hint ? " " : "", hint);
    ck_assert_msg(span_ends(span_of(bench_told(&bench)), span_of(want)), "%s", bench_told(&bench));
    bench_fini(&bench);
}

START_TEST(duration_takes_every_unit)
{
    assert_number(&shape_duration, "250ms", 250);
    assert_number(&shape_duration, "10s", 10000);
    assert_number(&shape_duration, "5m", 300000);
    assert_number(&shape_duration, "2h", 7200000);
    assert_number(&shape_duration, "1d", 86400000);
    assert_number(&shape_duration, "0", 0);
    assert_number(&shape_duration, "0s", 0);
    assert_number(&shape_duration, "'10s'", 10000);
}
END_TEST

START_TEST(duration_without_a_unit_is_told_what_to_write)
{
    assert_refused(&shape_duration, "10", "'10' has no unit", "write 10s or 10ms");
}
END_TEST

START_TEST(duration_with_a_unit_of_other_programs_is_told_ours)
{
    assert_refused(&shape_duration, "10sec", "'10sec' is not a duration", "write 10s");
    assert_refused(&shape_duration, "5min", "'5min' is not a duration", "write 5m");
    assert_refused(&shape_duration, "2 hours", "'2 hours' is not a duration", "write 2h");
    assert_refused(&shape_duration, "10 s", "'10 s' is not a duration", "write 10s");
    assert_refused(&shape_duration, "3S", "'3S' is not a duration", "write 3s");
    assert_refused(&shape_duration, "3x", "'3x' is not a duration",
                   "a whole number followed by ms, s, m, h or d");
    assert_refused(&shape_duration, "1m30s", "'1m30s' is not a duration",
                   "a whole number followed by ms, s, m, h or d");
    assert_refused(&shape_duration, "1.5s", "'1.5s' is not a whole number",
                   "take a smaller unit: 1500ms for 1.5s");
}
END_TEST

START_TEST(duration_of_another_kind_is_told_what_was_found)
{
    assert_refused(&shape_duration, "[10s]", "expected a duration such as 10s, found a list", "");
    assert_refused(&shape_duration, "{a: b}", "expected a duration such as 10s, found a map", "");
    assert_refused(&shape_duration, "fast", "expected a duration such as 10s, found 'fast'", "");
    assert_refused(&shape_duration, "''", "expected a duration such as 10s, found nothing", "");
    assert_refused(&shape_duration, "-5s", "expected a duration such as 10s, found '-5s'", "");
}
END_TEST

START_TEST(duration_outside_its_bounds_is_told_them)
{
    static const struct shape bounded = {
        .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .min = 1000, .max = 3600000};

    assert_number(&bounded, "1s", 1000);
    assert_number(&bounded, "1h", 3600000);
    assert_refused(&bounded, "999ms", "999ms is too small", "at least 1s");
    assert_refused(&bounded, "2h", "2h is too large", "at most 1h");
    assert_refused(&bounded, "0", "0 is too small", "at least 1s");
    assert_refused(&bounded, "99999999999999999999d", "99999999999999999999d is too large",
                   "at most 1h");
}
END_TEST

START_TEST(size_takes_every_unit)
{
    assert_number(&shape_size, "512", 512);
    assert_number(&shape_size, "0", 0);
    assert_number(&shape_size, "7B", 7);
    assert_number(&shape_size, "64KiB", 65536);
    assert_number(&shape_size, "1MiB", 1 << 20);
    assert_number(&shape_size, "4GiB", 4ull << 30);
    assert_number(&shape_size, "1TiB", 1ull << 40);
    assert_number(&shape_size, "2KB", 2000);
    assert_number(&shape_size, "2MB", 2000000);
    assert_number(&shape_size, "2GB", 2000000000);
}
END_TEST

START_TEST(size_with_half_a_unit_is_told_both_whole_ones)
{
    assert_refused(&shape_size, "64k", "'64k' is not a size",
                   "write 64KiB (of 1024) or 64KB (of 1000)");
    assert_refused(&shape_size, "64 MiB", "'64 MiB' is not a size",
                   "write 64MiB (of 1024) or 64MB (of 1000)");
    assert_refused(&shape_size, "1g", "'1g' is not a size",
                   "write 1GiB (of 1024) or 1GB (of 1000)");
    assert_refused(&shape_size, "1.5MiB", "'1.5MiB' is not a size",
                   "whole numbers only: 1536KiB for 1.5MiB");
    assert_refused(&shape_size, "5x", "'5x' is not a size",
                   "a whole number, alone or followed by KiB, MiB, GiB, KB, MB or GB");
    assert_refused(&shape_size, "big", "expected a size such as 64KiB, found 'big'", "");
}
END_TEST

START_TEST(size_beyond_64_bits_is_too_large)
{
    static const struct shape bounded = {
        .kind = SHAPE_SIZE, .size = sizeof(uint64_t), .max = 65536};

    assert_number(&shape_size, "16777215TiB", 16777215ull << 40);
    assert_refused(&bounded, "16777216TiB", "16777216TiB is too large", "at most 64KiB");
    assert_refused(&bounded, "65537", "65537 is too large", "at most 64KiB");
}
END_TEST

START_TEST(numbers_are_digits_within_bounds)
{
    static const struct shape bounded = {
        .kind = SHAPE_UINT, .size = sizeof(uint64_t), .min = 1, .max = 256};

    assert_number(&shape_uint, "18446744073709551615", UINT64_MAX);
    assert_number(&bounded, "1", 1);
    assert_number(&bounded, "256", 256);
    assert_refused(&bounded, "0", "0 is too small", "at least 1");
    assert_refused(&bounded, "257", "257 is too large", "at most 256");
    assert_refused(&shape_uint, "18446744073709551616", "18446744073709551616 is too large",
                   "at most 18446744073709551615");
    assert_refused(&bounded, "-1", "expected a whole number, found '-1'", "");
    assert_refused(&bounded, "0x10", "expected a whole number, found '0x10'", "");
    assert_refused(&bounded, "1e3", "expected a whole number, found '1e3'", "");
}
END_TEST

START_TEST(ratio_is_a_part_or_percent)
{
    static const struct {
        const char *yaml;
        double want;
    } good[] = {{"50%", 0.5}, {"0.5", 0.5},     {"0", 0},      {"1", 1},
                {"100%", 1},  {"12.5%", 0.125}, {"0.25", 0.25}};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        double value = 9;

        bench_init(&bench);
        ck_assert_int_eq(bind_one(&shape_ratio, good[i].yaml, &value), OK);
        ck_assert_double_eq_tol(value, good[i].want, 1e-12);
        bench_fini(&bench);
    }
    assert_refused(&shape_ratio, "5", "5 is too large", "0 to 1, or 0% to 100%");
    assert_refused(&shape_ratio, "101%", "101% is too large", "0 to 1, or 0% to 100%");
    assert_refused(&shape_ratio, "half", "expected a ratio such as 50% or 0.5, found 'half'", "");
    assert_refused(&shape_ratio, "1.", "expected a ratio such as 50% or 0.5, found '1.'", "");
    assert_refused(&shape_ratio, ".5", "expected a ratio such as 50% or 0.5, found '.5'", "");
    assert_refused(&shape_ratio, "0x1", "expected a ratio such as 50% or 0.5, found '0x1'", "");
}
END_TEST

START_TEST(bool_takes_six_words_in_any_case)
{
    static const char *const words[] = {"true",  "on",  "yes", "True", "ON",
                                        "false", "off", "no",  "FALSE"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        bool value = i >= 5;

        bench_init(&bench);
        ck_assert_int_eq(bind_one(&shape_bool, words[i], &value), OK);
        ck_assert_int_eq(value, i < 5);
        bench_fini(&bench);
    }
    assert_refused(&shape_bool, "maybe", "expected true or false, found 'maybe'", "");
    assert_refused(&shape_bool, "1", "expected true or false, found '1'", "");
}
END_TEST

START_TEST(choice_is_told_the_nearest_and_all)
{
    int value = 9;

    bench_init(&bench);
    ck_assert_int_eq(bind_one(&sample_balance_shape, "least_requests", &value), OK);
    ck_assert_int_eq(value, 1);
    bench_fini(&bench);
    assert_refused(&sample_balance_shape, "rond_robin", "unknown value 'rond_robin'",
                   "did you mean 'round_robin'? allowed: round_robin, least_requests");
    assert_refused(&sample_balance_shape, "hash", "unknown value 'hash'",
                   "allowed: round_robin, least_requests");
    assert_refused(&sample_balance_shape, "[a]", "expected one of the names below, found a list",
                   "allowed: round_robin, least_requests");
}
END_TEST

START_TEST(text_is_any_scalar_as_it_is_written)
{
    static const char *const texts[] = {"0.0.0.0:8080", "yes", "1e3", "007"};
    struct sluice_span value;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        bench_init(&bench);
        ck_assert_int_eq(bind_one(&shape_text, texts[i], &value), OK);
        ck_assert(span_equal(value, span_of(texts[i])));
        ck_assert_int_eq(value.ptr[value.len], '\0');
        bench_fini(&bench);
    }
    bench_init(&bench);
    ck_assert_int_eq(bind_one(&shape_text, "''", &value), OK);
    ck_assert_uint_eq(value.len, 0);
    bench_fini(&bench);
    assert_refused(&shape_text, "[a]", "expected text, found a list", "");
}
END_TEST

START_TEST(text_outlives_the_tree)
{
    struct arena arena;
    struct sluice_span value;
    struct tree *tree;

    bench_init(&bench);
    arena_init(&arena, NULL, 0);
    ck_assert_int_eq(tree_parse(SPAN("v: abc"), "t", &arena, bench.notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bench.bind, &shape_text, tree_find(tree, SPAN("v")), &value), OK);
    arena_fini(&arena);
    ck_assert(span_equal(value, SPAN("abc")));
    bench_fini(&bench);
}
END_TEST

/* -- secrets ------------------------------------------------------------------------- */

static char folder[64];

static void write_secret(const char *bytes, size_t len)
{
    FILE *file = fopen("secret", "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static void enter_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/scalar_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
    unlink("secret");
    unlink("sub/main.yaml");
    rmdir("sub");
    ck_assert_int_eq(rmdir(folder), 0);
}

static void assert_secret(const char *bytes, const char *want)
{
    struct sluice_span value;

    write_secret(bytes, strlen(bytes));
    bench_init(&bench);
    ck_assert_int_eq(bind_one(&shape_secret, "file:secret", &value), OK);
    ck_assert(span_equal(value, span_of(want)));
    ck_assert_int_eq(value.ptr[value.len], '\0');
    bench_fini(&bench);
}

START_TEST(secret_is_text_or_what_a_file_holds)
{
    struct sluice_span value;

    enter_folder();
    bench_init(&bench);
    ck_assert_int_eq(bind_one(&shape_secret, "plain", &value), OK);
    ck_assert(span_equal(value, SPAN("plain")));
    bench_fini(&bench);
    assert_secret("s3cret", "s3cret");
    assert_secret("s3cret\n", "s3cret");
    assert_secret("s3cret\r\n", "s3cret");
    assert_secret("s3cret\n\n", "s3cret\n");
    leave_folder();
}
END_TEST

START_TEST(secret_file_is_relative_to_the_configuration_file)
{
    struct sluice_span value;
    FILE *file;

    enter_folder();
    write_secret("x", 1);
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    file = fopen("sub/main.yaml", "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs("v: file:../secret\n", file), 0);
    ck_assert_int_eq(fclose(file), 0);
    bench_init(&bench);
    ck_assert_int_eq(tree_read("sub/main.yaml", &bench.arena, bench.notes, &bench.tree), OK);
    ck_assert_int_eq(
        shape_bind(&bench.bind, &shape_secret, tree_find(bench.tree, SPAN("v")), &value), OK);
    bench_fini(&bench);
    leave_folder();
}
END_TEST

START_TEST(secret_file_that_is_no_good_is_told_with_the_reason)
{
    static char large[65537];

    enter_folder();
    assert_refused(&shape_secret, "file:secret", "cannot read 'secret': No such file or directory",
                   "");
    assert_refused(&shape_secret, "'file:'", "'file:' names no file",
                   "write file:/run/secrets/NAME");
    write_secret("\n", 1);
    assert_refused(&shape_secret, "file:secret", "'secret' is empty", "");
    write_secret("a\0b", 3);
    assert_refused(&shape_secret, "file:secret", "'secret' has a NUL byte in it", "");
    memset(large, 'x', sizeof(large));
    write_secret(large, sizeof(large));
    assert_refused(&shape_secret, "file:secret", "cannot read 'secret': it is larger than 64 KiB",
                   "");
    leave_folder();
}
END_TEST

START_TEST(readers_for_parse_functions_take_what_the_kinds_take)
{
    uint64_t value;

    ck_assert_int_eq(shape_read_duration(SPAN("3m"), &value), OK);
    ck_assert_uint_eq(value, 180000);
    ck_assert_int_eq(shape_read_duration(SPAN("3"), &value), ERR_CONFIG);
    ck_assert_int_eq(shape_read_duration(SPAN(""), &value), ERR_CONFIG);
    ck_assert_int_eq(shape_read_duration(SPAN("999999999999999999d"), &value), ERR_CONFIG);
    ck_assert_int_eq(shape_read_size(SPAN("3KiB"), &value), OK);
    ck_assert_uint_eq(value, 3072);
    ck_assert_int_eq(shape_read_size(SPAN("k"), &value), ERR_CONFIG);
    ck_assert_int_eq(shape_read_size(SPAN("99999999999TiB"), &value), ERR_CONFIG);
}
END_TEST

UNIT_MAIN("config/scalar", duration_takes_every_unit, duration_without_a_unit_is_told_what_to_write,
          duration_with_a_unit_of_other_programs_is_told_ours,
          duration_of_another_kind_is_told_what_was_found, duration_outside_its_bounds_is_told_them,
          size_takes_every_unit, size_with_half_a_unit_is_told_both_whole_ones,
          size_beyond_64_bits_is_too_large, numbers_are_digits_within_bounds,
          ratio_is_a_part_or_percent, bool_takes_six_words_in_any_case,
          choice_is_told_the_nearest_and_all, text_is_any_scalar_as_it_is_written,
          text_outlives_the_tree, secret_is_text_or_what_a_file_holds,
          secret_file_is_relative_to_the_configuration_file,
          secret_file_that_is_no_good_is_told_with_the_reason,
          readers_for_parse_functions_take_what_the_kinds_take)
