#include "core/bytes.h"

#include "core/loop.h"

#include "unit.h"

#include <string.h>

static struct loop *loop;
static struct bytes queue;
static char pattern[300 * 1000];

static void set_up(void)
{
    loop = loop_new();
    queue.first = NULL;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i * 31 + i / 251);
    }
}

static void tear_down(void)
{
    bytes_reset(loop, &queue);
    ck_assert_uint_eq(loop->blocks.used, 0);
    ck_assert_uint_eq(loop->large_blocks.used, 0);
    loop_free(&loop);
}

static void add(size_t from, size_t n)
{
    ck_assert_int_eq(bytes_add(loop, &queue, span_make(pattern + from, n)), OK);
}

/* Read all that is there, piece by piece, and compare. */
static void check_all(size_t from, size_t n)
{
    while (n > 0) {
        struct sluice_span front = bytes_front(&queue);

        ck_assert_uint_gt(front.len, 0);
        ck_assert_uint_le(front.len, n);
        ck_assert_int_eq(memcmp(front.ptr, pattern + from, front.len), 0);
        bytes_skip(loop, &queue, front.len);
        from += front.len;
        n -= front.len;
    }
    ck_assert(bytes_is_empty(&queue));
}

START_TEST(an_empty_queue_owns_nothing)
{
    set_up();
    ck_assert(bytes_is_empty(&queue));
    ck_assert_uint_eq(bytes_front(&queue).len, 0);
    add(0, 0);
    ck_assert(bytes_is_empty(&queue));
    bytes_skip(loop, &queue, 0);
    bytes_reset(loop, &queue);
    ck_assert_uint_eq(loop->blocks.used, 0);
    tear_down();
}
END_TEST

START_TEST(what_was_added_comes_out_in_order)
{
    static const size_t sizes[] = {1, 100, 16000, 16384, 16385, 40000, 3, 70000};
    size_t at = 0;

    set_up();
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        add(at, sizes[i]);
        at += sizes[i];
    }
    check_all(0, at);
    tear_down();
}
END_TEST

START_TEST(skipping_may_end_inside_a_block_and_cross_many)
{
    set_up();
    add(0, 100000);
    bytes_skip(loop, &queue, 1);
    bytes_skip(loop, &queue, 50000);
    add(100000, 1000);
    check_all(50001, 50999);
    tear_down();
}
END_TEST

static void skip_too_much(void)
{
    set_up();
    add(0, 10);
    bytes_skip(loop, &queue, 11);
}

START_TEST(skipping_more_than_is_there_is_a_bug)
{
    ck_assert(unit_aborts(skip_too_much));
}
END_TEST

static size_t grow(size_t from, size_t n)
{
    size_t room;
    char *into = bytes_room(loop, &queue, &room);

    if (n > room)
        n = room;
    if (n > 0)
        memcpy(into, pattern + from, n);
    bytes_grown(&queue, n);
    return n;
}

START_TEST(room_keeps_all_in_one_piece_up_to_a_large_block)
{
    size_t n = 0;
    size_t got;

    set_up();
    add(0, 10);
    n = 10;
    while ((got = grow(n, 5000)) > 0) {
        n += got;
        ck_assert_uint_eq(bytes_front(&queue).len, n);
    }
    ck_assert_uint_ge(n, 64 * 1024);
    ck_assert_uint_le(n, BLOCK_LARGE_BYTES);
    ck_assert_uint_eq(loop->blocks.used, 0);
    check_all(0, n);
    tear_down();
}
END_TEST

START_TEST(room_takes_back_what_was_skipped)
{
    size_t n = 0;

    set_up();
    add(0, 10);
    n = 10;
    while (grow(n, 1000) == 1000) {
        n = bytes_front(&queue).len;
    }
    n = bytes_front(&queue).len;
    bytes_skip(loop, &queue, 500);
    ck_assert_uint_eq(grow(n, 1000), 500);
    check_all(500, n);
    tear_down();
}
END_TEST

START_TEST(room_of_an_empty_queue_is_a_new_block)
{
    size_t room;

    set_up();
    ck_assert_ptr_nonnull(bytes_room(loop, &queue, &room));
    ck_assert_uint_gt(room, 15 * 1024);
    bytes_reset(loop, &queue);
    ck_assert(bytes_is_empty(&queue));
    tear_down();
}
END_TEST

UNIT_MAIN("core/bytes", an_empty_queue_owns_nothing, what_was_added_comes_out_in_order,
          skipping_may_end_inside_a_block_and_cross_many, skipping_more_than_is_there_is_a_bug,
          room_keeps_all_in_one_piece_up_to_a_large_block, room_takes_back_what_was_skipped,
          room_of_an_empty_queue_is_a_new_block)
