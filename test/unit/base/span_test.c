#include "base/span.h"

#include "unit.h"

#include <string.h>

#define NOTHING span_make(NULL, 0)

START_TEST(span_of_takes_strings_and_null)
{
    ck_assert_uint_eq(span_of("abc").len, 3);
    ck_assert_uint_eq(span_of(NULL).len, 0);
    ck_assert_uint_eq(SPAN("a\0b").len, 3);
}
END_TEST

START_TEST(span_equal_compares_bytes)
{
    ck_assert(span_equal(SPAN("abc"), SPAN("abc")));
    ck_assert(span_equal(NOTHING, SPAN("")));
    ck_assert(!span_equal(SPAN("abc"), SPAN("abd")));
    ck_assert(!span_equal(SPAN("abc"), SPAN("ab")));
    ck_assert(!span_equal(SPAN("abc"), SPAN("ABC")));
    ck_assert(span_equal_nocase(SPAN("aBc-1"), SPAN("AbC-1")));
    ck_assert(!span_equal_nocase(SPAN("@[`{"), SPAN("`{@[")));
    ck_assert(!span_equal_nocase(SPAN("\xc4"), SPAN("\xe4")));
    ck_assert(!span_equal_nocase(SPAN("ab"), SPAN("a")));
}
END_TEST

START_TEST(span_starts_ends_and_has_accept_the_empty_span)
{
    ck_assert(span_starts(SPAN("sluice"), SPAN("slu")));
    ck_assert(span_starts(SPAN("sluice"), NOTHING));
    ck_assert(span_starts(NOTHING, NOTHING));
    ck_assert(!span_starts(SPAN("sl"), SPAN("slu")));
    ck_assert(span_ends(SPAN("sluice"), SPAN("ice")));
    ck_assert(span_ends(SPAN("sluice"), NOTHING));
    ck_assert(span_ends(NOTHING, NOTHING));
    ck_assert(!span_ends(SPAN("ice"), SPAN("sluice")));
    ck_assert(!span_ends(SPAN("sluice"), SPAN("ise")));
    ck_assert(span_has(SPAN("sluice"), SPAN("lui")));
    ck_assert(span_has(NOTHING, NOTHING));
    ck_assert(!span_has(SPAN("sluice"), SPAN("LUI")));
    ck_assert(!span_has(NOTHING, SPAN("a")));
}
END_TEST

START_TEST(span_order_is_total)
{
    ck_assert_int_eq(span_order(SPAN("a"), SPAN("a")), 0);
    ck_assert_int_eq(span_order(NOTHING, SPAN("")), 0);
    ck_assert_int_lt(span_order(SPAN("a"), SPAN("b")), 0);
    ck_assert_int_lt(span_order(SPAN("a"), SPAN("aa")), 0);
    ck_assert_int_gt(span_order(SPAN("b"), SPAN("aa")), 0);
    ck_assert_int_gt(span_order(SPAN("\xff"), SPAN("a")), 0);
    ck_assert_int_lt(span_order(NOTHING, SPAN("a")), 0);
}
END_TEST

START_TEST(span_find_gives_the_length_when_there_is_none)
{
    ck_assert_uint_eq(span_find(SPAN("a=b=c"), '='), 1);
    ck_assert_uint_eq(span_find(SPAN("abc"), '='), 3);
    ck_assert_uint_eq(span_find(NOTHING, '='), 0);
}
END_TEST

START_TEST(span_trim_takes_blanks_at_both_ends_only)
{
    ck_assert(span_equal(span_trim(SPAN(" \ta b\t ")), SPAN("a b")));
    ck_assert(span_equal(span_trim(SPAN("\na")), SPAN("\na")));
    ck_assert_uint_eq(span_trim(SPAN(" \t ")).len, 0);
    ck_assert_uint_eq(span_trim(NOTHING).len, 0);
}
END_TEST

START_TEST(span_split_gives_all_pieces_trimmed)
{
    struct sluice_span rest = SPAN("a, b,,c ,");
    const char *want[] = {"a", "b", "", "c"};
    struct sluice_span piece;

    for (size_t i = 0; i < 4; i++) {
        ck_assert(span_split(&rest, ',', &piece));
        ck_assert(span_equal(piece, span_of(want[i])));
    }
    ck_assert(!span_split(&rest, ',', &piece));
    rest = NOTHING;
    ck_assert(!span_split(&rest, ',', &piece));
}
END_TEST

START_TEST(span_number_reads_digits_up_to_max)
{
    uint64_t number = 7;

    ck_assert_int_eq(span_number(SPAN("0"), 0, &number), OK);
    ck_assert_uint_eq(number, 0);
    ck_assert_int_eq(span_number(SPAN("65535"), 65535, &number), OK);
    ck_assert_uint_eq(number, 65535);
    ck_assert_int_eq(span_number(SPAN("000012"), 12, &number), OK);
    ck_assert_uint_eq(number, 12);
    ck_assert_int_eq(span_number(SPAN("18446744073709551615"), UINT64_MAX, &number), OK);
    ck_assert(number == UINT64_MAX);
}
END_TEST

START_TEST(span_number_refuses_everything_else_and_writes_nothing)
{
    static const char *const wrong[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1a",
                                        "0x1",
                                        "65536",
                                        "18446744073709551616",
                                        "99999999999999999999"};
    uint64_t number = 7;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_int_eq(span_number(span_of(wrong[i]), 65535, &number), ERR_PROTOCOL);
    ck_assert_int_eq(span_number(SPAN("18446744073709551616"), UINT64_MAX, &number), ERR_PROTOCOL);
    ck_assert_int_eq(span_number(SPAN("5"), 4, &number), ERR_PROTOCOL);
    ck_assert_uint_eq(number, 7);
}
END_TEST

START_TEST(span_hash_depends_on_every_byte_the_length_and_the_seed)
{
    char bytes[40];
    uint64_t before;

    memset(bytes, 'x', sizeof(bytes));
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        before = span_hash(span_make(bytes, len), 1);
        ck_assert(before == span_hash(span_make(bytes, len), 1));
        ck_assert(before != span_hash(span_make(bytes, len), 2));
        ck_assert(before != span_hash(span_make(bytes, len - 1), 1));
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= 1;
            ck_assert(before != span_hash(span_make(bytes, len), 1));
            bytes[i] ^= 1;
        }
    }
}
END_TEST

UNIT_MAIN("base/span", span_of_takes_strings_and_null, span_equal_compares_bytes,
          span_starts_ends_and_has_accept_the_empty_span, span_order_is_total,
          span_find_gives_the_length_when_there_is_none, span_trim_takes_blanks_at_both_ends_only,
          span_split_gives_all_pieces_trimmed, span_number_reads_digits_up_to_max,
          span_number_refuses_everything_else_and_writes_nothing,
          span_hash_depends_on_every_byte_the_length_and_the_seed)
