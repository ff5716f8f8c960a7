#include "base/arena.h"

#include "base/poison.h"
#include "base/slab.h"
#include "unit.h"

#include <stdint.h>
#include <string.h>

START_TEST(arena_takes_nothing_before_it_is_asked)
{
    struct arena arena;

    arena_init(&arena, NULL, 0);
    ck_assert_uint_eq(arena.bytes, 0);
    arena_fini(&arena);
}
END_TEST

START_TEST(arena_memory_is_zeroed_aligned_and_apart)
{
    unsigned char *pieces[300];
    struct arena arena;

    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < 300; i++) {
        pieces[i] = arena_try(&arena, i);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_eq(pieces[i][k], 0);
        memset(pieces[i], (int)(i % 251), i);
    }
    for (size_t i = 0; i < 300; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_eq(pieces[i][k], i % 251);
    arena_fini(&arena);
}
END_TEST

START_TEST(arena_gives_its_chunks_back_to_the_slab)
{
    struct arena arena;
    struct slab slab;

    slab_init(&slab, 512, 0);
    arena_init(&arena, &slab, 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            memset(arena_new(&arena, 200), 0xff, 200);
        ck_assert_uint_eq(slab.used, 50);
        arena_fini(&arena);
        ck_assert_uint_eq(slab.used, 0);
        ck_assert_uint_eq(arena.bytes, 0);
    }
    ck_assert_uint_eq(slab.carved, 50);
    slab_fini(&slab);
}
END_TEST

START_TEST(arena_takes_large_things_from_the_heap_and_goes_on_filling)
{
    struct arena arena;
    struct slab slab;
    char *small, *large, *next;

    slab_init(&slab, 512, 0);
    arena_init(&arena, &slab, 0);
    large = arena_new(&arena, 10000); /* first of all: no chunk is being filled yet */
    small = arena_new(&arena, 16);
    memset(large, 1, 10000);
    memset(arena_new(&arena, 100000), 1, 100000);
    next = arena_new(&arena, 16);
    ck_assert_ptr_eq(next, small + 16);
    ck_assert_uint_eq(slab.used, 1);
    ck_assert_uint_ge(arena.bytes, 110000);
    arena_fini(&arena);
    ck_assert_uint_eq(slab.used, 0);
    slab_fini(&slab);
}
END_TEST

START_TEST(arena_refuses_beyond_its_maximum)
{
    struct arena arena;
    int n = 0;

    arena_init(&arena, NULL, 3 * ARENA_CHUNK);
    ck_assert_ptr_null(arena_try(&arena, 4 * ARENA_CHUNK));
    ck_assert_ptr_null(arena_try(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_try(&arena, SIZE_MAX / 2));
    while (arena_try(&arena, 1000))
        n++;
    ck_assert_int_ge(n, 9);
    ck_assert_int_le(n, 12);
    ck_assert_uint_le(arena.bytes, 3 * ARENA_CHUNK);
    ck_assert_ptr_nonnull(arena_new(&arena, 1000)); /* our own sizes are not the peer's fault */
    arena_fini(&arena);
}
END_TEST

START_TEST(arena_new_goes_past_a_full_slab_and_try_does_not)
{
    struct arena arena;
    struct slab slab;

    slab_init(&slab, 512, 1);
    arena_init(&arena, &slab, 0);
    ck_assert_ptr_nonnull(arena_try(&arena, 400));
    ck_assert_ptr_null(arena_try(&arena, 400));
    ck_assert_ptr_nonnull(arena_new(&arena, 400));
    arena_fini(&arena);
    ck_assert_uint_eq(slab.used, 0);
    slab_fini(&slab);
}
END_TEST

START_TEST(arena_copy_ends_its_text)
{
    struct arena arena;
    struct sluice_span copy;

    arena_init(&arena, NULL, 2 * ARENA_CHUNK);
    copy = arena_copy(&arena, span_make("sluice gate", 6));
    ck_assert_uint_eq(copy.len, 6);
    ck_assert_str_eq(copy.ptr, "sluice");
    copy = arena_copy(&arena, span_make(NULL, 0));
    ck_assert_str_eq(copy.ptr, "");
    copy = arena_copy(&arena, span_make("", SIZE_MAX));
    ck_assert_ptr_null(copy.ptr);
    ck_assert_uint_eq(copy.len, 0);
    arena_fini(&arena);
}
END_TEST

START_TEST(arena_format_measures_before_it_writes)
{
    struct arena arena;
    struct sluice_span text;

    arena_init(&arena, NULL, 2 * ARENA_CHUNK);
    text = arena_format(&arena, "%s:%d", "localhost", 8080);
    ck_assert(span_equal(text, SPAN("localhost:8080")));
    ck_assert_uint_eq(strlen(text.ptr), text.len);
    text = arena_format(&arena, "%*d", 3 * ARENA_CHUNK, 1);
    ck_assert_ptr_null(text.ptr);
    arena_fini(&arena);
}
END_TEST

struct diary {
    char entries[8];
    size_t len;
};

struct page {
    struct diary *diary;
    char entry;
};

static void write_down(void *arg)
{
    struct page *page = arg;

    page->diary->entries[page->diary->len++] = page->entry;
}

START_TEST(arena_cleans_up_in_reverse_order_while_its_memory_stands)
{
    struct diary diary = {.len = 0};
    struct arena arena;

    arena_init(&arena, NULL, 0);
    for (int i = 0; i < 3; i++) {
        struct page *page = arena_new(&arena, sizeof(*page));

        page->diary = &diary;
        page->entry = (char)('a' + i);
        arena_on_fini(&arena, write_down, page);
    }
    arena_fini(&arena);
    ck_assert_str_eq(diary.entries, "cba");
    arena_fini(&arena); /* is as new: nothing is left to do */
    ck_assert_uint_eq(diary.len, 3);
}
END_TEST

START_TEST(arena_poisons_what_nobody_asked_for)
{
    struct arena arena;
    char *memory;

    arena_init(&arena, NULL, 0);
    memory = arena_new(&arena, 5);
    ck_assert_ptr_nonnull(memory);
#ifdef POISON_ON
    ck_assert(!__asan_address_is_poisoned(memory + 4));
    ck_assert(__asan_address_is_poisoned(memory + 5));
    ck_assert(__asan_address_is_poisoned(memory + 1000));
#endif
    arena_fini(&arena);
}
END_TEST

#ifdef SLUICE_FAULTS
START_TEST(arena_try_can_be_made_to_fail_and_arena_new_cannot)
{
    struct arena arena;
    struct slab slab;

    setenv("SLUICE_FAIL_ALLOC_EVERY", "2", 1);
    slab_init(&slab, 512, 0);
    arena_init(&arena, &slab, 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(arena_try(&arena, 400) == NULL, i % 2 == 1);
        ck_assert_ptr_nonnull(arena_new(&arena, 400));
        ck_assert_ptr_nonnull(arena_new(&arena, 4000));
    }
    arena_fini(&arena);
    ck_assert_uint_eq(slab.used, 0);
    slab_fini(&slab);
}
END_TEST
#define FAULT_TESTS , arena_try_can_be_made_to_fail_and_arena_new_cannot
#else
#define FAULT_TESTS
#endif

UNIT_MAIN("base/arena", arena_takes_nothing_before_it_is_asked,
          arena_memory_is_zeroed_aligned_and_apart, arena_gives_its_chunks_back_to_the_slab,
          arena_takes_large_things_from_the_heap_and_goes_on_filling,
          arena_refuses_beyond_its_maximum, arena_new_goes_past_a_full_slab_and_try_does_not,
          arena_copy_ends_its_text, arena_format_measures_before_it_writes,
          arena_cleans_up_in_reverse_order_while_its_memory_stands,
          arena_poisons_what_nobody_asked_for FAULT_TESTS)
