#include "base/slab.h"

#include "base/poison.h"
#include "unit.h"

#include <stdint.h>
#include <string.h>

enum { MANY = 5000 };

static bool is_all(const void *object_, size_t n, size_t number)
{
    const unsigned char *object = object_;

    return object[0] == number % 251 && memcmp(object, object + 1, n - 1) == 0;
}

START_TEST(slab_takes_nothing_before_it_is_asked)
{
    struct slab slab;

    slab_init(&slab, 100, 0);
    ck_assert_uint_eq(slab.object_bytes, 104);
    ck_assert_uint_eq(slab_bytes(&slab), 0);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_objects_are_aligned_and_apart)
{
    static unsigned char *objects[MANY];
    struct slab slab;

    slab_init(&slab, 100, 0);
    for (size_t i = 0; i < MANY; i++) {
        objects[i] = slab_take(&slab);
        ck_assert_ptr_nonnull(objects[i]);
        ck_assert_uint_eq((uintptr_t)objects[i] % 8, 0);
        memset(objects[i], (int)(i % 251), 100);
    }
    for (size_t i = 0; i < MANY; i++)
        ck_assert(is_all(objects[i], 100, i));
    ck_assert_uint_eq(slab.used, MANY);
    ck_assert_uint_ge(slab_bytes(&slab), (size_t)MANY * 104);
    slab_fini(&slab);
    ck_assert_uint_eq(slab_bytes(&slab), 0);
}
END_TEST

START_TEST(slab_gives_the_most_recent_first_and_grows_no_more)
{
    struct slab slab;
    void *first, *second;
    size_t bytes;

    slab_init(&slab, 64, 0);
    first = slab_take(&slab);
    second = slab_take(&slab);
    bytes = slab_bytes(&slab);
    for (int i = 0; i < MANY; i++) {
        slab_give(&slab, first);
        slab_give(&slab, second);
        ck_assert_ptr_eq(slab_take(&slab), second);
        ck_assert_ptr_eq(slab_take(&slab), first);
    }
    ck_assert_uint_eq(slab_bytes(&slab), bytes);
    ck_assert_uint_eq(slab.carved, 2);
    slab_give(&slab, NULL);
    ck_assert_uint_eq(slab.used, 2);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_refuses_beyond_its_maximum)
{
    struct slab slab;
    void *object;

    slab_init(&slab, 64, 2);
    object = slab_take(&slab);
    ck_assert_ptr_nonnull(object);
    ck_assert_ptr_nonnull(slab_take(&slab));
    ck_assert_ptr_null(slab_take(&slab));
    slab_give(&slab, object);
    ck_assert_ptr_eq(slab_take(&slab), object);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_regions_waste_little_on_large_objects)
{
    struct slab slab;

    slab_init(&slab, 16384, 0);
    for (int i = 0; i < 7; i++)
        ck_assert_ptr_nonnull(slab_take(&slab));
    ck_assert_uint_lt(slab_bytes(&slab), 9 * 16384);
    slab_fini(&slab);
}
END_TEST

/* -- giving back to the system ----------------------------------------------- */

enum { REGION = 64 * 1024 };

static void *burst[MANY];

static void take_burst(struct slab *slab, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        burst[i] = slab_take(slab);
        if (!burst[i])
            ck_abort_msg("out of memory");
        memset(burst[i], (int)(i % 251), slab->object_bytes);
    }
}

static void give_burst(struct slab *slab, size_t n)
{
    for (size_t i = 0; i < n; i++)
        slab_give(slab, burst[i]);
}

START_TEST(slab_gives_back_what_a_burst_has_left)
{
    struct slab slab;
    size_t most, before;

    slab_init(&slab, 1000, 0);
    take_burst(&slab, MANY);
    most = slab_bytes(&slab);
    give_burst(&slab, MANY);
    ck_assert_uint_eq(slab_bytes(&slab), most);
    ck_assert_uint_eq(slab_look(&slab).empty_bytes, most - REGION);
    ck_assert_uint_eq(slab_trim(&slab, SIZE_MAX), 0); /* it was needed a moment ago */
    do {
        before = slab_bytes(&slab);
        ck_assert_uint_le(slab_trim(&slab, SIZE_MAX), before / 2 + REGION); /* half of it */
    } while (slab_bytes(&slab) < before);
    ck_assert_uint_eq(slab_bytes(&slab), REGION);
    ck_assert_uint_eq(slab_look(&slab).empty_bytes, 0);
    take_burst(&slab, MANY);
    ck_assert_uint_eq(slab_bytes(&slab), most);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_keeps_what_a_steady_load_needs_now_and_then)
{
    struct slab slab;
    size_t bytes;

    slab_init(&slab, 1000, 0);
    take_burst(&slab, MANY);
    bytes = slab_bytes(&slab);
    give_burst(&slab, MANY);
    for (int i = 0; i < 20; i++) {
        ck_assert_uint_eq(slab_trim(&slab, SIZE_MAX), 0);
        take_burst(&slab, MANY);
        give_burst(&slab, MANY);
    }
    ck_assert_uint_eq(slab_bytes(&slab), bytes);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_trims_so_much_at_a_time)
{
    struct slab slab;

    slab_init(&slab, 1000, 0);
    take_burst(&slab, MANY);
    give_burst(&slab, MANY);
    (void)slab_trim(&slab, SIZE_MAX);
    ck_assert_uint_eq(slab_trim(&slab, 5 * REGION), 5 * REGION);
    ck_assert_uint_eq(slab_trim(&slab, 0), REGION); /* one, so that it comes to an end */
    slab_fini(&slab);
}
END_TEST

/* Some of each region stay in use: nothing of them goes, and their room is used again first. */
START_TEST(slab_keeps_regions_that_something_is_in)
{
    struct slab slab;
    size_t bytes;

    slab_init(&slab, 1000, 0);
    take_burst(&slab, MANY);
    bytes = slab_bytes(&slab);
    for (size_t i = 0; i < MANY; i++)
        if (i % 10 > 0)
            slab_give(&slab, burst[i]);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(slab_trim(&slab, SIZE_MAX), 0);
    for (size_t i = 0; i < MANY; i++)
        if (i % 10 > 0)
            burst[i] = slab_take(&slab);
    ck_assert_uint_eq(slab_bytes(&slab), bytes);
    for (size_t i = 0; i < MANY; i += 10)
        ck_assert(is_all(burst[i], 1000, i));
    give_burst(&slab, MANY);
    ck_assert_uint_eq(slab.used, 0);
    slab_fini(&slab);
}
END_TEST

/* Whatever the order: no object is given out twice, and none that is in use goes away. */
START_TEST(slab_holds_what_was_put_in_through_any_order)
{
    static unsigned char *held[600];
    struct slab slab;
    uint32_t state = 12345;

    slab_init(&slab, 2000, 0);
    for (int step = 0; step < 100000; step++) {
        size_t i;

        state = state * 1664525 + 1013904223;
        i = (state >> 8) % (step / 10000 % 2 ? 40 : 600);
        if (step % 10000 == 0) /* the rest of a burst goes */
            for (size_t k = 0; k < 600; k++) {
                slab_give(&slab, held[k]);
                held[k] = NULL;
            }
        if (held[i]) {
            if (!is_all(held[i], 2000, i))
                ck_abort_msg("object %zu changed", i);
            slab_give(&slab, held[i]);
            held[i] = NULL;
        } else {
            held[i] = slab_take(&slab);
            memset(held[i], (int)(i % 251), 2000);
        }
        if (step % 100 == 0)
            (void)slab_trim(&slab, 10 * REGION);
    }
    for (size_t k = 0; k < 600; k++)
        slab_give(&slab, held[k]);
    ck_assert_uint_eq(slab.used, 0);
    slab_fini(&slab);
}
END_TEST

static unsigned wakes;

static void count_wake(struct slab_set *set)
{
    (void)set;
    wakes++;
}

START_TEST(slab_set_is_woken_while_something_can_be_trimmed)
{
    struct slab_set set;
    struct slab first, second;
    unsigned turns = 0;

    slab_set_init(&set, count_wake);
    slab_init(&first, 1000, 0);
    slab_init(&second, 16000, 0);
    slab_join(&first, &set);
    slab_join(&second, &set);
    take_burst(&second, 100);
    give_burst(&second, 100);
    take_burst(&first, MANY);
    ck_assert_uint_eq(wakes, 1);
    give_burst(&first, MANY);
    ck_assert_uint_eq(wakes, 1); /* it is awake */
    while (slab_set_trim(&set, SIZE_MAX))
        ck_assert_uint_lt(turns++, 100);
    ck_assert_uint_eq(slab_bytes(&first), first.region_bytes);
    ck_assert_uint_eq(slab_bytes(&second), second.region_bytes);
    ck_assert_uint_gt(set.released, (uint64_t)MANY * 900);
    take_burst(&first, MANY);
    ck_assert_uint_eq(wakes, 1);
    give_burst(&first, MANY);
    ck_assert_uint_eq(wakes, 2);
    slab_fini(&first);
    slab_fini(&second);
    ck_assert(list_is_empty(&set.slabs));
}
END_TEST

static void give_too_often(void)
{
    struct slab slab;
    char strange[64];

    slab_init(&slab, 64, 0);
    slab_give(&slab, strange);
}

START_TEST(slab_aborts_when_more_comes_back_than_went_out)
{
    ck_assert(unit_aborts(give_too_often));
}
END_TEST

START_TEST(slab_objects_given_back_are_poisoned)
{
    struct slab slab;
    char *object;

    slab_init(&slab, 64, 0);
    object = slab_take(&slab);
    memset(object, 1, 64);
#ifdef POISON_ON
    ck_assert(!__asan_address_is_poisoned(object));
    ck_assert(__asan_address_is_poisoned(object + 64)); /* not carved yet */
    slab_give(&slab, object);
    ck_assert(__asan_address_is_poisoned(object));
    ck_assert(__asan_address_is_poisoned(object + 63));
    object = slab_take(&slab);
    ck_assert(!__asan_address_is_poisoned(object));
#endif
    ck_assert_uint_eq(slab.used, 1);
    slab_fini(&slab);
}
END_TEST

START_TEST(slab_tells_what_is_in_it)
{
    struct slab slab;
    void *first, *second;

    slab_init(&slab, 100, 0);
    ck_assert_uint_eq(slab_look(&slab).bytes, 0);
    first = slab_take(&slab);
    second = slab_take(&slab);
    slab_give(&slab, first);
    ck_assert_uint_eq(slab_look(&slab).object_bytes, 104);
    ck_assert_uint_eq(slab_look(&slab).used, 1);
    ck_assert_uint_eq(slab_look(&slab).free, 1);
    ck_assert_uint_eq(slab_look(&slab).bytes, slab_bytes(&slab));
    slab_give(&slab, second);
    ck_assert_uint_eq(slab_look(&slab).used, 0);
    ck_assert_uint_eq(slab_look(&slab).free, 2);
    slab_fini(&slab);
}
END_TEST

#ifdef SLUICE_FAULTS
START_TEST(slab_take_can_be_made_to_fail)
{
    struct slab slab;

    setenv("SLUICE_FAIL_ALLOC_EVERY", "2", 1);
    slab_init(&slab, 64, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(slab_take(&slab) == NULL, i % 2 == 1);
    ck_assert_uint_eq(slab.used, 5);
    slab_fini(&slab);
}
END_TEST
#define FAULT_TESTS , slab_take_can_be_made_to_fail
#else
#define FAULT_TESTS
#endif

UNIT_MAIN("base/slab", slab_takes_nothing_before_it_is_asked, slab_objects_are_aligned_and_apart,
          slab_gives_the_most_recent_first_and_grows_no_more, slab_refuses_beyond_its_maximum,
          slab_gives_back_what_a_burst_has_left, slab_keeps_what_a_steady_load_needs_now_and_then,
          slab_trims_so_much_at_a_time, slab_keeps_regions_that_something_is_in,
          slab_holds_what_was_put_in_through_any_order,
          slab_set_is_woken_while_something_can_be_trimmed,
          slab_regions_waste_little_on_large_objects, slab_tells_what_is_in_it,
          slab_aborts_when_more_comes_back_than_went_out,
          slab_objects_given_back_are_poisoned FAULT_TESTS)
