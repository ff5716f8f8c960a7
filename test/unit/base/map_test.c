#include "base/map.h"

#include "unit.h"

#include <stdio.h>

enum { MANY = 10000 };

static int values[MANY];

static struct sluice_span key_of(int i)
{
    static char key[16];

    snprintf(key, sizeof(key), "key-%d", i);
    return span_of(key);
}

START_TEST(map_finds_what_was_set_and_nothing_else)
{
    struct map *map = map_new();

    ck_assert_ptr_null(map_find(map, SPAN("a")));
    ck_assert_ptr_null(map_remove(map, SPAN("a")));
    ck_assert_ptr_null(map_set(map, SPAN("a"), &values[1]));
    ck_assert_ptr_eq(map_find(map, SPAN("a")), &values[1]);
    ck_assert_ptr_null(map_find(map, SPAN("A")));
    ck_assert_ptr_null(map_find(map, SPAN("")));
    ck_assert_ptr_null(map_set(map, SPAN(""), &values[2]));
    ck_assert_ptr_null(map_set(map, SPAN("a\0b"), &values[3]));
    ck_assert_ptr_eq(map_find(map, SPAN("")), &values[2]);
    ck_assert_ptr_eq(map_find(map, SPAN("a\0b")), &values[3]);
    ck_assert_uint_eq(map_count(map), 3);
    map_free(&map);
    ck_assert_ptr_null(map);
    map_free(&map);
}
END_TEST

START_TEST(map_set_returns_what_it_replaces)
{
    struct map *map = map_new();

    map_set(map, SPAN("a"), &values[1]);
    ck_assert_ptr_eq(map_set(map, SPAN("a"), &values[2]), &values[1]);
    ck_assert_ptr_eq(map_find(map, SPAN("a")), &values[2]);
    ck_assert_uint_eq(map_count(map), 1);
    map_free(&map);
}
END_TEST

START_TEST(map_copies_its_keys)
{
    struct map *map = map_new();
    char key[] = "abc";

    map_set(map, span_of(key), &values[1]);
    key[0] = 'x';
    ck_assert_ptr_eq(map_find(map, SPAN("abc")), &values[1]);
    map_free(&map);
}
END_TEST

START_TEST(map_keeps_many_and_their_order)
{
    struct map *map = map_new();
    struct sluice_span key;
    size_t at = 0;
    void *value;
    int i = 0;

    for (i = 0; i < MANY; i++)
        map_set(map, key_of(i), &values[i]);
    ck_assert_uint_eq(map_count(map), MANY);
    for (i = 0; i < MANY; i++)
        ck_assert_ptr_eq(map_find(map, key_of(i)), &values[i]);
    for (i = 0; map_each(map, &at, &key, &value); i++) {
        ck_assert_ptr_eq(value, &values[i]);
        ck_assert(span_equal(key, key_of(i)));
    }
    ck_assert_int_eq(i, MANY);
    map_free(&map);
}
END_TEST

START_TEST(map_forgets_what_is_removed_and_leaves_the_rest)
{
    struct map *map = map_new();
    struct sluice_span key;
    size_t at = 0;
    void *value;
    int seen = 0;

    for (int i = 0; i < MANY; i++)
        map_set(map, key_of(i), &values[i]);
    for (int i = 0; i < MANY; i += 2)
        ck_assert_ptr_eq(map_remove(map, key_of(i)), &values[i]);
    ck_assert_uint_eq(map_count(map), MANY / 2);
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_eq(map_find(map, key_of(i)), i % 2 == 0 ? NULL : &values[i]);
    while (map_each(map, &at, &key, &value))
        ck_assert_ptr_eq(value, &values[2 * seen++ + 1]);
    ck_assert_int_eq(seen, MANY / 2);
    map_free(&map);
}
END_TEST

START_TEST(map_takes_come_and_go_for_ever)
{
    struct map *map = map_new();

    for (int i = 0; i < 10 * MANY; i++) {
        map_set(map, key_of(i), &values[i % MANY]);
        if (i >= 5)
            ck_assert_ptr_eq(map_remove(map, key_of(i - 5)), &values[(i - 5) % MANY]);
    }
    ck_assert_uint_eq(map_count(map), 5);
    for (int i = 10 * MANY - 5; i < 10 * MANY; i++)
        ck_assert_ptr_eq(map_find(map, key_of(i)), &values[i % MANY]);
    map_free(&map);
}
END_TEST

UNIT_MAIN("base/map", map_finds_what_was_set_and_nothing_else, map_set_returns_what_it_replaces,
          map_copies_its_keys, map_keeps_many_and_their_order,
          map_forgets_what_is_removed_and_leaves_the_rest, map_takes_come_and_go_for_ever)
