#include "core/mailbox.h"

#include "base/alloc.h"
#include "core/loop.h"

#include "unit.h"

#include <pthread.h>

enum { SENDERS = 4, LETTERS = 2000 };

struct number {
    struct letter letter;
    unsigned sender, n;
};

struct desk {
    struct loop *loop;
    struct mailbox *mailbox;
    unsigned next[SENDERS]; /* number expected from each */
    unsigned opened, stop_at;
    unsigned answers; /* letters to post from inside a letter */
};

static void on_number(void *desk_, struct letter *letter);

static void post(struct desk *desk, unsigned sender, unsigned n)
{
    struct number *number = alloc_new(sizeof(*number));

    number->sender = sender;
    number->n = n;
    mailbox_post(desk->mailbox, &number->letter, on_number);
}

static void on_number(void *desk_, struct letter *letter)
{
    struct desk *desk = desk_;
    struct number *number = (struct number *)(void *)letter;

    ck_assert_uint_eq(number->n, desk->next[number->sender]);
    desk->next[number->sender]++;
    alloc_free(number);
    if (desk->answers > 0) {
        desk->answers--;
        post(desk, 0, desk->next[0]);
    }
    if (++desk->opened == desk->stop_at)
        loop_stop(desk->loop);
}

static void desk_open(struct desk *desk)
{
    *desk = (struct desk){.loop = loop_new()};
    ck_assert_int_eq(mailbox_new(&desk->mailbox, desk->loop, desk), OK);
}

static void desk_close(struct desk *desk)
{
    mailbox_free(&desk->mailbox);
    ck_assert_ptr_null(desk->mailbox);
    loop_free(&desk->loop);
}

START_TEST(letters_of_one_sender_are_opened_in_order)
{
    struct desk desk;

    desk_open(&desk);
    desk.stop_at = 100;
    for (unsigned i = 0; i < 100; i++) {
        post(&desk, 0, i);
    }
    ck_assert_uint_eq(desk.opened, 0);
    loop_run(desk.loop);
    ck_assert_uint_eq(desk.opened, 100);
    desk_close(&desk);
}
END_TEST

struct sender {
    struct desk *desk;
    unsigned index;
};

static void *send_all(void *sender_)
{
    struct sender *sender = sender_;

    for (unsigned i = 0; i < LETTERS; i++) {
        post(sender->desk, sender->index, i);
    }
    return NULL;
}

START_TEST(letters_of_many_threads_all_arrive_each_sender_in_order)
{
    struct sender sender[SENDERS];
    pthread_t thread[SENDERS];
    struct desk desk;

    desk_open(&desk);
    desk.stop_at = SENDERS * LETTERS;
    for (unsigned i = 0; i < SENDERS; i++) {
        sender[i] = (struct sender){&desk, i};
        ck_assert_int_eq(pthread_create(&thread[i], NULL, send_all, &sender[i]), 0);
    }
    loop_run(desk.loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(thread[i], NULL);
        ck_assert_uint_eq(desk.next[i], LETTERS);
    }
    desk_close(&desk);
}
END_TEST

START_TEST(a_letter_may_post_another)
{
    struct desk desk;

    desk_open(&desk);
    desk.answers = 9;
    desk.stop_at = 10;
    post(&desk, 0, 0);
    loop_run(desk.loop);
    ck_assert_uint_eq(desk.opened, 10);
    desk_close(&desk);
}
END_TEST

START_TEST(free_opens_what_is_left)
{
    struct desk desk;

    desk_open(&desk);
    post(&desk, 0, 0);
    post(&desk, 0, 1);
    desk_close(&desk);
    ck_assert_uint_eq(desk.opened, 2);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct mailbox *mailbox = NULL;

    mailbox_free(&mailbox);
    ck_assert_ptr_null(mailbox);
}
END_TEST

UNIT_MAIN("core/mailbox", letters_of_one_sender_are_opened_in_order,
          letters_of_many_threads_all_arrive_each_sender_in_order, a_letter_may_post_another,
          free_opens_what_is_left, free_accepts_null)
