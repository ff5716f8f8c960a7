#include "base/alloc.h"

#include "unit.h"

#include <stdint.h>
#include <string.h>

/* More than there can be, unknown to the compiler. */
static volatile size_t too_much = SIZE_MAX / 2;

static void want_too_much(void)
{
    alloc_free(alloc_new(too_much));
}

static void resize_too_much(void)
{
    alloc_free(alloc_resize(NULL, too_much));
}

START_TEST(alloc_new_gives_zeroed_memory)
{
    unsigned char *memory = alloc_new(100);

    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(memory[i], 0);
    alloc_free(memory);
}
END_TEST

START_TEST(alloc_of_nothing_is_not_out_of_memory)
{
    void *first = alloc_new(0);
    void *second = alloc_try(0);
    void *third = alloc_resize_try(NULL, 0);

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_nonnull(third);
    third = alloc_resize(third, 0);
    ck_assert_ptr_nonnull(third);
    alloc_free(first);
    alloc_free(second);
    alloc_free(third);
    alloc_free(NULL);
}
END_TEST

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

START_TEST(alloc_try_answers_and_the_others_abort_when_memory_is_out)
{
#ifndef SANITIZED /* sanitizers end the process for such sizes, and say so on their own */
    ck_assert_ptr_null(alloc_try(too_much));
    ck_assert_ptr_null(alloc_resize_try(NULL, too_much));
    ck_assert(unit_aborts(want_too_much));
    ck_assert(unit_aborts(resize_too_much));
#else
    (void)want_too_much;
    (void)resize_too_much;
#endif
}
END_TEST

START_TEST(alloc_resize_keeps_what_was_there)
{
    char *memory = alloc_text("sluice", 6);

    memory = alloc_resize(memory, 4000);
    ck_assert_str_eq(memory, "sluice");
    memory = alloc_resize_try(memory, 7);
    ck_assert_str_eq(memory, "sluice");
    alloc_free(memory);
}
END_TEST

START_TEST(alloc_text_copies_and_ends)
{
    char *text = alloc_text("sluice gate", 6);
    char *empty = alloc_text(NULL, 0);

    ck_assert_str_eq(text, "sluice");
    ck_assert_str_eq(empty, "");
    alloc_free(text);
    alloc_free(empty);
}
END_TEST

#ifdef SLUICE_FAULTS

START_TEST(alloc_fault_hits_the_nth_try_only)
{
    setenv("SLUICE_FAIL_ALLOC", "3", 1);
    for (int i = 1; i <= 9; i++) {
        void *memory = alloc_try(8);

        ck_assert_int_eq(memory == NULL, i == 3);
        alloc_free(memory);
        alloc_free(alloc_new(8)); /* not a try: never fails, is not counted */
    }
}
END_TEST

START_TEST(alloc_fault_hits_every_nth_try_but_where_stopped)
{
    setenv("SLUICE_FAIL_ALLOC_EVERY", "2", 1);
    for (int i = 1; i <= 8; i++) {
        void *memory = alloc_resize_try(NULL, 8);

        ck_assert_int_eq(memory == NULL, i % 2 == 0);
        alloc_free(memory);
        alloc_faults_stop();
        ck_assert(!alloc_is_faulty());
        alloc_faults_start();
    }
}
END_TEST

#define FAULT_TESTS                                                                                \
    , alloc_fault_hits_the_nth_try_only, alloc_fault_hits_every_nth_try_but_where_stopped
#else
#define FAULT_TESTS
#endif

UNIT_MAIN("base/alloc", alloc_new_gives_zeroed_memory, alloc_of_nothing_is_not_out_of_memory,
          alloc_try_answers_and_the_others_abort_when_memory_is_out,
          alloc_resize_keeps_what_was_there, alloc_text_copies_and_ends FAULT_TESTS)
