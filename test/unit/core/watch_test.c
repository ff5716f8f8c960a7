#include "core/watch.h"

#include "core/loop.h"
#include "unit.h"

struct scene {
    struct loop *loop;
    struct watch *watch;
    int fd[2];
    unsigned ready, n;
};

static void on_ready(void *it_, int fd, unsigned ready)
{
    struct scene *it = it_;
    char byte;

    it->ready |= ready;
    it->n++;
    if (ready & WATCH_READ)
        ck_assert_int_eq(read(fd, &byte, 1), 1);
    if (it->n == 2)
        watch_free(&it->watch);
    if (it->n == 2 || (ready & WATCH_WRITE))
        loop_stop(it->loop);
}

START_TEST(a_descriptor_is_told_of_as_long_as_it_is_ready)
{
    struct scene it = {.n = 0};

    ck_assert_int_eq(pipe(it.fd), 0);
    it.loop = loop_new();
    it.watch = watch_new(it.loop, it.fd[0], on_ready, &it);
    watch_set(it.watch, WATCH_READ);
    ck_assert_int_eq(write(it.fd[1], "ab", 2), 2);
    loop_run(it.loop);
    ck_assert_uint_eq(it.ready, WATCH_READ);
    ck_assert_uint_eq(it.n, 2);
    ck_assert_ptr_null(it.watch);
    loop_free(&it.loop);
    close(it.fd[0]);
    close(it.fd[1]);
}
END_TEST

START_TEST(what_is_watched_can_be_changed)
{
    struct scene it = {.n = 0};

    ck_assert_int_eq(pipe(it.fd), 0);
    it.loop = loop_new();
    it.watch = watch_new(it.loop, it.fd[1], on_ready, &it);
    watch_set(it.watch, WATCH_READ);
    watch_set(it.watch, WATCH_WRITE);
    loop_run(it.loop);
    ck_assert_uint_eq(it.ready, WATCH_WRITE);
    watch_set(it.watch, 0);
    watch_free(&it.watch);
    ck_assert_ptr_null(it.watch);
    loop_free(&it.loop);
    close(it.fd[0]);
    close(it.fd[1]);
}
END_TEST

UNIT_MAIN("core/watch", a_descriptor_is_told_of_as_long_as_it_is_ready,
          what_is_watched_can_be_changed)
