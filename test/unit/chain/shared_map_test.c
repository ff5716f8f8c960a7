#include "chain/shared_map.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { HOUR_MS = 3600 * 1000, THREADS = 4 };

static enum err set(struct shared_map *map, const char *key, const char *value, uint64_t now_ms,
                    uint64_t ttl_ms)
{
    return shared_map_set(map, span_of(key), span_of(value), now_ms, ttl_ms);
}

/* The value as text; "" when there is none. Valid until the next call. */
static const char *get(struct shared_map *map, const char *key, uint64_t now_ms, char out[64])
{
    struct shared_map_copy copy = {.out = out, .cap = 63};

    out[0] = '\0';
    if (shared_map_get(map, span_of(key), now_ms, &copy) == OK)
        out[copy.len] = '\0';
    return out;
}

START_TEST(values_are_kept_replaced_and_removed)
{
    struct shared_map *map = shared_map_new(10, 32);
    char out[64];

    ck_assert_str_eq(get(map, "a", 1, out), "");
    ck_assert_int_eq(set(map, "a", "one", 1, HOUR_MS), OK);
    ck_assert_int_eq(set(map, "b", "", 1, HOUR_MS), OK);
    ck_assert_str_eq(get(map, "a", 1, out), "one");
    ck_assert_int_eq(set(map, "a", "other", 1, HOUR_MS), OK);
    ck_assert_str_eq(get(map, "a", 1, out), "other");
    shared_map_remove(map, SPAN("a"));
    shared_map_remove(map, SPAN("a"));
    ck_assert_str_eq(get(map, "a", 1, out), "");
    ck_assert_uint_eq(shared_map_numbers(map).live, 1);
    ck_assert_uint_eq(shared_map_numbers(map).bytes, 1);
    shared_map_free(&map);
    ck_assert_ptr_null(map);
    shared_map_free(&map);
}
END_TEST

START_TEST(a_copy_says_the_length_and_the_serial)
{
    struct shared_map *map = shared_map_new(10, 32);
    char out[3] = "???";
    struct shared_map_copy copy = {.out = out, .cap = 2};
    uint64_t serial;

    ck_assert_int_eq(set(map, "a", "value", 1, HOUR_MS), OK);
    ck_assert_int_eq(shared_map_get(map, SPAN("a"), 1, &copy), OK);
    ck_assert_uint_eq(copy.len, 5);
    ck_assert_mem_eq(out, "va?", 3);
    serial = copy.serial;
    ck_assert_int_eq(shared_map_get(map, SPAN("a"), 1, &copy), OK);
    ck_assert_uint_eq(copy.serial, serial);
    ck_assert_int_eq(set(map, "a", "value", 1, HOUR_MS), OK);
    copy = (struct shared_map_copy){0};
    ck_assert_int_eq(shared_map_get(map, SPAN("a"), 1, &copy), OK);
    ck_assert_uint_gt(copy.serial, serial);
    shared_map_free(&map);
}
END_TEST

START_TEST(values_expire)
{
    struct shared_map *map = shared_map_new(10, 32);
    char out[64];

    ck_assert_int_eq(set(map, "a", "one", 100, 50), OK);
    ck_assert_str_eq(get(map, "a", 149, out), "one");
    ck_assert_str_eq(get(map, "a", 150, out), "");
    shared_map_free(&map);
}
END_TEST

START_TEST(what_is_too_large_is_refused)
{
    struct shared_map *map = shared_map_new(10, 4);
    char *key = calloc(1, SHARED_MAP_KEY + 1);

    ck_assert_int_eq(set(map, "a", "12345", 1, HOUR_MS), ERR_LIMIT);
    ck_assert_int_eq(set(map, "a", "1234", 1, HOUR_MS), OK);
    ck_assert_int_eq(shared_map_set(map, span_make(key, SHARED_MAP_KEY + 1), SPAN("1"), 1, HOUR_MS),
                     ERR_LIMIT);
    ck_assert_int_eq(shared_map_set(map, span_make(key, SHARED_MAP_KEY), SPAN("1"), 1, HOUR_MS),
                     OK);
    ck_assert_uint_eq(shared_map_numbers(map).refused, 2);
    shared_map_grow(map, 1, 5);
    ck_assert_int_eq(set(map, "a", "12345", 1, HOUR_MS), OK);
    ck_assert_ptr_null(shared_map_new(0, 1));
    ck_assert_ptr_null(shared_map_new((uint64_t)SHARED_MAP_MAX + 1, 1));
    ck_assert_ptr_null(shared_map_new(1, (size_t)SHARED_MAP_VALUE + 1));
    shared_map_free(&map);
    free(key);
}
END_TEST

START_TEST(full_the_expired_go_before_the_least_used)
{
    struct shared_map *map = shared_map_new(3, 32);
    char out[64];

    ck_assert_int_eq(set(map, "a", "1", 1, HOUR_MS), OK);
    ck_assert_int_eq(set(map, "b", "2", 1, 10), OK);
    ck_assert_int_eq(set(map, "c", "3", 1, HOUR_MS), OK);
    ck_assert_int_eq(set(map, "d", "4", 20, HOUR_MS), OK); /* b had expired */
    ck_assert_str_eq(get(map, "a", 20, out), "1");
    ck_assert_int_eq(set(map, "e", "5", 20, HOUR_MS), OK); /* c was not used since */
    ck_assert_str_eq(get(map, "c", 20, out), "");
    ck_assert_str_eq(get(map, "a", 20, out), "1");
    ck_assert_uint_eq(shared_map_numbers(map).expired, 1);
    ck_assert_uint_eq(shared_map_numbers(map).evicted, 1);
    ck_assert_uint_eq(shared_map_numbers(map).live, 3);
    shared_map_free(&map);
}
END_TEST

START_TEST(a_large_map_stays_within_its_bounds)
{
    struct shared_map *map = shared_map_new(1000, 32);
    char key[32];

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        ck_assert_int_eq(set(map, key, "value", 1, HOUR_MS), OK);
    }
    ck_assert_uint_le(shared_map_numbers(map).live, 1000 + 64);
    ck_assert_uint_gt(shared_map_numbers(map).live, 900);
    shared_map_grow(map, 10000, 32);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        ck_assert_int_eq(set(map, key, "value", 1, HOUR_MS), OK);
    }
    ck_assert_uint_eq(shared_map_numbers(map).live, 5000);
    shared_map_free(&map);
}
END_TEST

static void *work(void *map)
{
    char key[16], value[16], out[64];
    uintptr_t foreign = 0;

    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = i * 7919 % 100;

        snprintf(key, sizeof(key), "%u", n);
        snprintf(value, sizeof(value), "<%u>", n);
        if (i % 3 == 0) {
            foreign += set(map, key, value, 1, HOUR_MS) != OK;
        } else if (i % 50 == 1) {
            shared_map_remove(map, span_of(key));
        } else {
            get(map, key, 1, out);
            foreign += out[0] && strcmp(out, value) != 0;
        }
    }
    return (void *)foreign;
}

START_TEST(threads_find_whole_values)
{
    struct shared_map *map = shared_map_new(80, 32);
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, map), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *foreign;

        ck_assert_int_eq(pthread_join(threads[i], &foreign), 0);
        ck_assert_ptr_null(foreign);
    }
    shared_map_free(&map);
}
END_TEST

UNIT_MAIN("chain/shared_map", values_are_kept_replaced_and_removed,
          a_copy_says_the_length_and_the_serial, values_expire, what_is_too_large_is_refused,
          full_the_expired_go_before_the_least_used, a_large_map_stays_within_its_bounds,
          threads_find_whole_values)
