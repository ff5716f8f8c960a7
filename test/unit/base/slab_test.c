#include "base/slab.h"

#include "base/poison.h"
#include "unit.h"

#include <stdint.h>
#include <string.h>

enum { MANY = 5000 };

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
        for (size_t k = 0; k < 100; k++)
            ck_assert_uint_eq(objects[i][k], i % 251);
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
    for (int i = 0; i < 8; i++)
        ck_assert_ptr_nonnull(slab_take(&slab));
    ck_assert_uint_lt(slab_bytes(&slab), 9 * 16384);
    slab_fini(&slab);
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
          slab_regions_waste_little_on_large_objects, slab_tells_what_is_in_it,
          slab_aborts_when_more_comes_back_than_went_out,
          slab_objects_given_back_are_poisoned FAULT_TESTS)
