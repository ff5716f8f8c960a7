#include "core/loop.h"

#include "base/now.h"
#include "core/alarm.h"

#include "unit.h"

struct note {
    struct soon soon;
    struct loop *loop;
    unsigned n, turn; /* how often it ran, and in which turn last */
    unsigned again;   /* put off again that often */
    struct note *other;
    void (*then)(struct note *note);
};

static unsigned turn_of(const struct loop *loop)
{
    return (unsigned)counter_get(&loop->turns);
}

static void on_soon(struct soon *soon)
{
    struct note *note = list_entry(soon, struct note, soon);

    note->n++;
    note->turn = turn_of(note->loop);
    ck_assert(!soon_is_set(soon));
    if (note->then)
        note->then(note);
}

static void note_init(struct note *note, struct loop *loop)
{
    *note = (struct note){.loop = loop};
    soon_init(&note->soon, on_soon);
}

static void stop(struct note *note)
{
    loop_stop(note->loop);
}

static void again(struct note *note)
{
    if (note->again-- > 0)
        loop_soon(note->loop, &note->soon);
    else
        loop_stop(note->loop);
}

START_TEST(what_is_put_off_runs_once_in_this_turn)
{
    struct loop *loop = loop_new();
    struct note note, last;

    note_init(&note, loop);
    note_init(&last, loop);
    last.then = stop;
    loop_soon(loop, &note.soon);
    loop_soon(loop, &note.soon);
    loop_soon(loop, &last.soon);
    ck_assert(soon_is_set(&note.soon));
    loop_run(loop);
    ck_assert_uint_eq(note.n, 1);
    ck_assert_uint_eq(turn_of(loop), 1);
    loop_free(&loop);
    ck_assert_ptr_null(loop);
}
END_TEST

START_TEST(what_is_put_off_at_the_end_of_a_turn_runs_in_the_next)
{
    struct loop *loop = loop_new();
    struct note note;

    note_init(&note, loop);
    note.again = 3;
    note.then = again;
    loop_soon(loop, &note.soon);
    loop_run(loop);
    ck_assert_uint_eq(note.n, 4);
    ck_assert_uint_eq(note.turn, 3);
    ck_assert_uint_eq(turn_of(loop), 4);
    loop_free(&loop);
}
END_TEST

static void cancel_other(struct note *note)
{
    soon_cancel(&note->other->soon);
    loop_stop(note->loop);
}

START_TEST(what_is_cancelled_does_not_run_even_in_the_same_turn)
{
    struct loop *loop = loop_new();
    struct note note, other;

    note_init(&note, loop);
    note_init(&other, loop);
    note.other = &other;
    note.then = cancel_other;
    soon_cancel(&note.soon);
    loop_soon(loop, &note.soon);
    loop_soon(loop, &other.soon);
    loop_run(loop);
    ck_assert_uint_eq(note.n, 1);
    ck_assert_uint_eq(other.n, 0);
    ck_assert(!soon_is_set(&other.soon));
    loop_free(&loop);
}
END_TEST

static void line_up_again(struct note *note)
{
    if (note->again-- > 0)
        loop_line_up(note->loop, &note->soon);
    else
        loop_stop(note->loop);
}

START_TEST(who_stands_in_line_runs_in_order_and_a_few_in_a_turn)
{
    struct loop *loop = loop_new();
    struct note note[3 * LOOP_LINE];

    for (unsigned i = 0; i < 3 * LOOP_LINE; i++) {
        note_init(&note[i], loop);
        loop_line_up(loop, &note[i].soon);
        loop_line_up(loop, &note[i].soon);
    }
    note[3 * LOOP_LINE - 1].then = stop;
    loop_run(loop);
    for (unsigned i = 0; i < 3 * LOOP_LINE; i++) {
        ck_assert_uint_eq(note[i].n, 1);
        ck_assert_uint_eq(note[i].turn, i / LOOP_LINE);
    }
    loop_free(&loop);
}
END_TEST

START_TEST(events_that_end_work_let_more_of_the_line_run)
{
    struct loop *loop = loop_new();
    struct note note[2 * LOOP_LINE];

    for (unsigned i = 0; i < 2 * LOOP_LINE; i++) {
        note_init(&note[i], loop);
        loop_line_up(loop, &note[i].soon);
        loop_note_answer(loop);
    }
    note[2 * LOOP_LINE - 1].then = stop;
    loop_run(loop);
    ck_assert_uint_eq(turn_of(loop), 1);
    loop_free(&loop);
}
END_TEST

START_TEST(who_lines_up_again_stands_behind_the_others_and_is_not_run_twice_in_a_turn)
{
    struct loop *loop = loop_new();
    struct note first, second, gone;

    note_init(&first, loop);
    note_init(&second, loop);
    note_init(&gone, loop);
    first.then = second.then = line_up_again;
    first.again = 2;
    second.again = 9;
    loop_line_up(loop, &first.soon);
    loop_line_up(loop, &gone.soon);
    loop_line_up(loop, &second.soon);
    soon_cancel(&gone.soon);
    loop_run(loop);
    ck_assert_uint_eq(first.n, 3);
    ck_assert_uint_eq(first.turn, 2);
    ck_assert_uint_eq(second.n, 3);
    ck_assert_uint_eq(gone.n, 0);
    soon_cancel(&second.soon);
    loop_free(&loop);
}
END_TEST

struct watch {
    struct alarm alarm;
    struct loop *loop;
};

static void on_alarm(struct alarm *alarm)
{
    loop_stop(list_entry(alarm, struct watch, alarm)->loop);
}

START_TEST(a_loop_with_an_alarm_only_waits_for_it)
{
    struct watch watch = {.loop = loop_new()};

    alarm_init(&watch.alarm, on_alarm);
    alarm_arm(watch.loop, &watch.alarm, 1);
    loop_run(watch.loop);
    ck_assert(!alarm_is_armed(&watch.alarm));
    loop_free(&watch.loop);
}
END_TEST

START_TEST(the_time_stands_still_within_a_turn_and_goes_on_with_the_next)
{
    struct loop *loop = loop_new();
    struct note note;
    uint64_t before;

    note_init(&note, loop);
    note.then = stop;
    before = loop_now_us(loop);
    while (now_us() == before) {
        continue;
    }
    ck_assert_uint_eq(loop_now_us(loop), before);
    loop_soon(loop, &note.soon);
    loop_run(loop);
    ck_assert_uint_gt(loop_now_us(loop), before);
    loop_free(&loop);
}
END_TEST

START_TEST(a_stopped_loop_may_run_again)
{
    struct loop *loop = loop_new();
    struct note note;

    note_init(&note, loop);
    note.then = stop;
    for (unsigned i = 0; i < 3; i++) {
        loop_soon(loop, &note.soon);
        loop_run(loop);
    }
    ck_assert_uint_eq(note.n, 3);
    loop_free(&loop);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct loop *loop = NULL;

    loop_free(&loop);
    ck_assert_ptr_null(loop);
}
END_TEST

static void be_slow(struct note *note)
{
    uint64_t began_us = now_us();

    (void)loop_now_us(note->loop);
    while (now_us() - began_us <= LOOP_SLOW_US + 1000)
        ;
    loop_stop(note->loop);
}

START_TEST(a_turn_that_takes_long_is_counted_as_slow)
{
    struct loop *loop = loop_new();
    struct note note;
    uint64_t n = 0;

    note_init(&note, loop);
    note.then = be_slow;
    loop_soon(loop, &note.soon);
    loop_run(loop);
    ck_assert_uint_eq(counter_get(&loop->slow_turns), 1);
    ck_assert_uint_ge(counter_get(&loop->turn_times.sum_us), LOOP_SLOW_US);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += counter_get(&loop->turn_times.bucket[i]);
    ck_assert_uint_eq(n, 1);
    loop_free(&loop);
}
END_TEST

UNIT_MAIN("core/loop", what_is_put_off_runs_once_in_this_turn,
          what_is_put_off_at_the_end_of_a_turn_runs_in_the_next,
          what_is_cancelled_does_not_run_even_in_the_same_turn,
          who_stands_in_line_runs_in_order_and_a_few_in_a_turn,
          events_that_end_work_let_more_of_the_line_run,
          who_lines_up_again_stands_behind_the_others_and_is_not_run_twice_in_a_turn,
          a_loop_with_an_alarm_only_waits_for_it,
          the_time_stands_still_within_a_turn_and_goes_on_with_the_next,
          a_stopped_loop_may_run_again, a_turn_that_takes_long_is_counted_as_slow,
          free_accepts_null)
