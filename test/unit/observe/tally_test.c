#include "observe/tally.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct numbers {
    uint64_t a, b;
};

START_TEST(same_name_gets_the_same_block)
{
    struct tally *tally = tally_new(4);
    char name[] = "orders";
    const struct tally_block *block = tally_get(tally, "route", span_of(name), 16);

    memset(name, 'x', sizeof name - 1); /* the key is a copy */
    ck_assert_ptr_eq(tally_get(tally, "route", SPAN("orders"), 16), block);
    ck_assert(span_equal(block->key, SPAN("orders")));
    ck_assert_ptr_ne(tally_get(tally, "route", SPAN("other route"), 16), block);
    ck_assert_ptr_ne(tally_get(tally, "upstream", SPAN("orders"), 16), block);
    tally_free(&tally);
    ck_assert_ptr_null(tally);
}
END_TEST

START_TEST(empty_key_is_a_key)
{
    struct tally *tally = tally_new(1);
    const struct tally_block *block = tally_get(tally, "route", SPAN(""), 8);

    ck_assert_uint_eq(block->key.len, 0);
    ck_assert_ptr_eq(tally_get(tally, "route", SPAN(""), 8), block);
    tally_free(&tally);
}
END_TEST

START_TEST(slots_are_zeroed_and_cache_lines_apart)
{
    struct tally *tally = tally_new(3);

    for (size_t len = 1; len < 60; len++) { /* allocations of many sizes begin at many places */
        struct sluice_span key =
            span_make("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567", len);
        const struct tally_block *block = tally_get(tally, "route", key, sizeof(struct numbers));

        ck_assert_uint_eq((uintptr_t)block->slots % 64, 0);
        ck_assert_uint_eq(block->stride % 64, 0);
        for (unsigned i = 0; i < 3; i++) {
            struct numbers *numbers = tally_slot(block, i);

            ck_assert_uint_eq(numbers->a, 0);
            ck_assert_uint_eq(numbers->b, 0);
            numbers->a = numbers->b = UINT64_MAX;
        }
        ck_assert(span_equal(block->key, key));
    }
    tally_free(&tally);
}
END_TEST

static void join_keys(void *arg, const struct tally_block *block)
{
    snprintf((char *)arg + strlen(arg), 64, "%.*s ", (int)block->key.len, block->key.ptr);
}

START_TEST(each_goes_in_order_of_birth_within_a_kind)
{
    struct tally *tally = tally_new(1);
    char keys[256] = "";

    tally_get(tally, "route", SPAN("zebra"), 8);
    tally_get(tally, "upstream", SPAN("app"), 8);
    tally_get(tally, "route", SPAN("ant"), 8);
    tally_get(tally, "route", SPAN("zebra"), 8);
    tally_each(tally, "route", join_keys, keys);
    ck_assert_str_eq(keys, "zebra ant ");
    keys[0] = '\0';
    tally_each(tally, "no such kind", join_keys, keys);
    ck_assert_str_eq(keys, "");
    tally_free(&tally);
}
END_TEST

START_TEST(beyond_the_bound_new_keys_share_other)
{
    struct tally *tally = tally_new(1);
    const struct tally_block *first = tally_get(tally, "route", SPAN("0"), 8);
    const struct tally_block *shared;
    char key[16];

    for (unsigned i = 1; i < 100000; i++) {
        snprintf(key, sizeof key, "%u", i);
        tally_get(tally, "route", span_of(key), 8);
    }
    shared = tally_get(tally, "route", SPAN("one more"), 8);
    ck_assert(span_equal(shared->key, SPAN("other")));
    ck_assert_ptr_eq(tally_get(tally, "route", SPAN("and another"), 8), shared);
    ck_assert_ptr_eq(tally_get(tally, "route", SPAN("0"), 8), first);
    ck_assert(span_equal(tally_get(tally, "late kind", SPAN("x"), 8)->key, SPAN("other")));
    tally_free(&tally);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct tally *tally = NULL;

    tally_free(&tally);
    ck_assert_ptr_null(tally);
}
END_TEST

UNIT_MAIN("observe/tally", same_name_gets_the_same_block, empty_key_is_a_key,
          slots_are_zeroed_and_cache_lines_apart, each_goes_in_order_of_birth_within_a_kind,
          beyond_the_bound_new_keys_share_other, free_accepts_null)
