#include "core/pipe.h"

#include "core/loop.h"

#include "unit.h"
#include "until.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

static struct loop *loop;
static struct bytes queue;

static void set_up(unsigned max)
{
    loop = loop_new();
    queue.first = NULL;
    pipes_limit(&loop->pipes, max);
}

static void tear_down(void)
{
    bytes_reset(loop, &queue);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 0);
    ck_assert_uint_eq(loop->blocks.used, 0);
    loop_free(&loop);
}

/* A pipe with these bytes in it, queued. */
static struct block *add_filled(const char *text)
{
    struct block *block = pipe_take(loop);
    size_t n = strlen(text);

    ck_assert_ptr_nonnull(block);
    ck_assert_int_eq(write(pipe_of(block)->write_fd, text, n), (ssize_t)n);
    pipe_add(loop, block, n, &queue);
    return block;
}

/* Read so many bytes of the pipe at the front, as a socket would take them. */
static void drain(size_t n, const char *want)
{
    char got[64];
    int fd = -1;

    ck_assert_uint_ge(pipe_front(&queue, &fd), n);
    ck_assert_int_eq(read(fd, got, n), (ssize_t)n);
    ck_assert_int_eq(memcmp(got, want, n), 0);
    bytes_skip(loop, &queue, n);
}

START_TEST(none_is_made_before_some_are_allowed)
{
    loop = loop_new();
    queue.first = NULL;
    ck_assert_ptr_null(pipe_take(loop));
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 1);
    tear_down();
}
END_TEST

START_TEST(one_given_back_empty_is_the_next_one)
{
    struct block *block;
    int fd;

    set_up(4);
    block = pipe_take(loop);
    ck_assert_ptr_nonnull(block);
    fd = pipe_of(block)->read_fd;
    ck_assert_int_ge(fcntl(fd, F_GETPIPE_SZ), PIPE_LEAST_BYTES);
    ck_assert_int_eq(read(fd, &block, 1), -1);
    ck_assert_int_eq(errno, EAGAIN);
    pipe_give(loop, block);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 1);
    block = pipe_take(loop);
    ck_assert_int_eq(pipe_of(block)->read_fd, fd);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 1);
    pipe_give(loop, block);
    tear_down();
}
END_TEST

START_TEST(what_is_in_one_counts_as_queued_until_it_is_taken)
{
    int fd = -1;

    set_up(1);
    add_filled("hello");
    ck_assert(!bytes_is_empty(&queue));
    ck_assert_uint_eq(pipe_front(&queue, &fd), 5);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 5);
    drain(2, "he");
    ck_assert_uint_eq(pipe_front(&queue, &fd), 3);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 3);
    drain(3, "llo");
    ck_assert(bytes_is_empty(&queue));
    ck_assert_uint_eq(pipe_front(&queue, &fd), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 1);
    tear_down();
}
END_TEST

START_TEST(what_is_added_later_stays_behind_it)
{
    int fd = -1;

    set_up(2);
    ck_assert_int_eq(bytes_add(loop, &queue, SPAN("before")), OK);
    add_filled("in it");
    ck_assert_int_eq(bytes_add(loop, &queue, SPAN("after")), OK);
    add_filled("the next");
    ck_assert_uint_eq(pipe_front(&queue, &fd), 0);
    ck_assert(span_equal(bytes_front(&queue), SPAN("before")));
    bytes_skip(loop, &queue, 6);
    drain(5, "in it");
    ck_assert(span_equal(bytes_front(&queue), SPAN("after")));
    bytes_skip(loop, &queue, 5);
    drain(8, "the next");
    ck_assert(bytes_is_empty(&queue));
    tear_down();
}
END_TEST

START_TEST(one_that_is_not_empty_is_closed_with_its_queue)
{
    int fd;

    set_up(1);
    fd = pipe_of(add_filled("left"))->read_fd;
    drain(1, "l");
    bytes_reset(loop, &queue);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 0);
    add_filled("fresh");
    drain(5, "fresh");
    tear_down();
}
END_TEST

START_TEST(there_are_never_more_than_allowed)
{
    struct block *one, *two;

    set_up(2);
    one = pipe_take(loop);
    two = pipe_take(loop);
    ck_assert_ptr_null(pipe_take(loop));
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 1);
    pipes_limit(&loop->pipes, 1);
    pipe_give(loop, one);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 0);
    pipe_give(loop, two);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 1);
    tear_down();
}
END_TEST

static bool are_gone(void *pipes)
{
    return counter_get(&((struct pipes *)pipes)->spare) == 0;
}

START_TEST(those_that_nobody_needs_are_closed_after_a_while)
{
    struct block *blocks[3];

    set_up(3);
    for (unsigned i = 0; i < 3; i++)
        blocks[i] = pipe_take(loop);
    for (unsigned i = 0; i < 3; i++)
        pipe_give(loop, blocks[i]);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 3);
    loop_until(loop, are_gone, &loop->pipes);
    ck_assert(!alarm_is_armed(&loop->pipes.trim));
    blocks[0] = pipe_take(loop);
    ck_assert_ptr_nonnull(blocks[0]);
    pipe_give(loop, blocks[0]);
    tear_down();
}
END_TEST

START_TEST(the_last_descriptors_are_for_others)
{
    struct rlimit limit, low;

    set_up(8);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_ptr_null(pipe_take(loop));
    ck_assert_uint_eq(loop->pipes.n, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_ptr_null(pipe_take(loop)); /* nobody tries again at once */
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 2);
    loop->pipes.retry_us = 1;
    pipe_give(loop, pipe_take(loop));
    pipes_fini(&loop->pipes);
    pipes_init(&loop->pipes);
    pipes_limit(&loop->pipes, 8);
    loop->pipes.fd_max = 3;
    ck_assert_ptr_null(pipe_take(loop));
    tear_down();
}
END_TEST

START_TEST(after_a_refusal_none_is_to_be_had_for_a_while)
{
    set_up(1);
    pipe_give(loop, pipe_take(loop));
    pipes_rest(loop);
    ck_assert_ptr_null(pipe_take(loop));
    loop->pipes.retry_us = 1;
    pipe_give(loop, pipe_take(loop));
    tear_down();
}
END_TEST

UNIT_MAIN("core/pipe", none_is_made_before_some_are_allowed, one_given_back_empty_is_the_next_one,
          what_is_in_one_counts_as_queued_until_it_is_taken, what_is_added_later_stays_behind_it,
          one_that_is_not_empty_is_closed_with_its_queue, there_are_never_more_than_allowed,
          those_that_nobody_needs_are_closed_after_a_while, the_last_descriptors_are_for_others,
          after_a_refusal_none_is_to_be_had_for_a_while)
