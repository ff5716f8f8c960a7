#include "core/helpers.h"

#include "base/alloc.h"
#include "core/loop.h"

#include "unit.h"

#include <semaphore.h>

struct desk {
    struct loop *loop;
    struct mailbox *mailbox;
    struct helpers *helpers;
    unsigned back, has_run, stop_at;
    uint64_t sum;
};

struct square {
    struct helpers_job job;
    uint64_t number;
    sem_t *began, *go; /* NULL: at once */
};

static void run(struct helpers_job *job)
{
    struct square *square = (struct square *)(void *)job;

    if (square->began)
        sem_post(square->began);
    if (square->go)
        sem_wait(square->go);
    square->number *= square->number;
}

static void on_back(void *desk_, struct letter *letter)
{
    struct desk *desk = desk_;
    struct square *square = (struct square *)(void *)letter;

    desk->has_run += square->job.has_run;
    desk->sum += square->number;
    alloc_free(square);
    if (++desk->back == desk->stop_at)
        loop_stop(desk->loop);
}

static void desk_open(struct desk *desk, unsigned threads, size_t queue)
{
    *desk = (struct desk){.loop = loop_new(), .helpers = helpers_new()};
    ck_assert_int_eq(mailbox_new(&desk->mailbox, desk->loop, desk), OK);
    ck_assert_int_eq(helpers_set(desk->helpers, threads, queue), OK);
}

static void desk_close(struct desk *desk)
{
    helpers_free(&desk->helpers);
    ck_assert_ptr_null(desk->helpers);
    helpers_free(&desk->helpers);
    mailbox_free(&desk->mailbox);
    loop_free(&desk->loop);
}

static enum err submit(struct desk *desk, uint64_t number, sem_t *began, sem_t *go)
{
    struct square *square = alloc_new(sizeof(*square));
    enum err err;

    square->job = (struct helpers_job){.over = on_back, .run = run, .home = desk->mailbox};
    square->number = number;
    square->began = began;
    square->go = go;
    err = helpers_submit(desk->helpers, &square->job);
    if (err)
        alloc_free(square);
    return err;
}

static void wait_for(struct desk *desk, unsigned n)
{
    desk->stop_at = n;
    if (desk->back < n)
        loop_run(desk->loop);
}

START_TEST(jobs_run_elsewhere_and_come_back)
{
    struct desk desk;

    desk_open(&desk, 3, 100);
    for (unsigned i = 1; i <= 100; i++)
        ck_assert_int_eq(submit(&desk, i, NULL, NULL), OK);
    wait_for(&desk, 100);
    ck_assert_uint_eq(desk.sum, 338350);
    ck_assert_uint_eq(desk.has_run, 100);
    ck_assert_uint_eq(helpers_numbers(desk.helpers).queued, 0);
    desk_close(&desk);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    struct desk desk;
    sem_t began, go;

    sem_init(&began, 0, 0);
    sem_init(&go, 0, 0);
    desk_open(&desk, 1, 2);
    ck_assert_int_eq(submit(&desk, 2, &began, &go), OK);
    sem_wait(&began);
    ck_assert_int_eq(submit(&desk, 3, NULL, NULL), OK);
    ck_assert_int_eq(submit(&desk, 4, NULL, NULL), OK);
    ck_assert_int_eq(submit(&desk, 5, NULL, NULL), ERR_LIMIT);
    ck_assert_uint_eq(helpers_numbers(desk.helpers).queued, 2);
    ck_assert_uint_eq(helpers_numbers(desk.helpers).busy, 1);
    ck_assert_uint_eq(helpers_numbers(desk.helpers).refused, 1);
    sem_post(&go);
    wait_for(&desk, 3);
    ck_assert_uint_eq(desk.sum, 4 + 9 + 16);
    desk_close(&desk);
}
END_TEST

START_TEST(what_was_queued_at_the_end_comes_back_undone)
{
    struct desk desk;
    sem_t began, go;

    sem_init(&began, 0, 0);
    sem_init(&go, 0, 0);
    desk_open(&desk, 1, 10);
    ck_assert_int_eq(submit(&desk, 2, &began, &go), OK);
    sem_wait(&began);
    ck_assert_int_eq(submit(&desk, 3, NULL, NULL), OK);
    ck_assert_int_eq(helpers_set(desk.helpers, 0, 10), OK);
    ck_assert_int_eq(submit(&desk, 3, NULL, NULL), ERR_LIMIT);
    sem_post(&go);
    helpers_free(&desk.helpers);
    wait_for(&desk, 2);
    ck_assert_uint_eq(desk.has_run, 1);
    ck_assert_uint_eq(desk.sum, 4 + 3);
    desk_close(&desk);
}
END_TEST

START_TEST(threads_come_and_go)
{
    struct desk desk;
    unsigned sent = 0;

    desk_open(&desk, 1, 1000);
    for (unsigned n = 1; n < 40; n++) {
        ck_assert_int_eq(helpers_set(desk.helpers, n % 5 + 1, 1000), OK);
        for (unsigned i = 0; i < 20; i++, sent++)
            ck_assert_int_eq(submit(&desk, 1, NULL, NULL), OK);
        if (n % 3 == 0)
            wait_for(&desk, sent);
    }
    wait_for(&desk, sent);
    ck_assert_uint_eq(desk.sum, sent);
    ck_assert_uint_eq(helpers_numbers(desk.helpers).threads, 5);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("core/helpers", jobs_run_elsewhere_and_come_back, a_full_queue_refuses,
          what_was_queued_at_the_end_comes_back_undone, threads_come_and_go)
