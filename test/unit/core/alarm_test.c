#include "core/alarm.h"

#include "base/rng.h"
#include "core/loop.h"

#include "unit.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/time.h>

/*
 * The clock of these tests is loop->now_us: nobody waits. It jumps to the moment that the wheel
 * has set its timer for, never beyond, so an alarm that rings late was looked at late.
 */

#define TICK_US  (ALARM_TICK_MS * 1000ull)
#define DAY_MS   (24ull * 3600 * 1000)
#define FIRST_US (5000 * TICK_US) /* where the clock starts unless a test says otherwise */

struct ringer {
    struct alarm alarm;
    struct loop *loop;
    uint64_t armed_us, ms; /* by the last arming */
    uint64_t rang_us;
    unsigned n; /* rings */
    struct ringer *other;
    void (*then)(struct ringer *ringer);
};

static void on_ring(struct alarm *alarm)
{
    struct ringer *ringer = list_entry(alarm, struct ringer, alarm);

    ringer->n++;
    ringer->rang_us = loop_now_us(ringer->loop);
    ck_assert(!alarm_is_armed(alarm));
    if (ringer->then)
        ringer->then(ringer);
}

static struct loop *clock_new(uint64_t us)
{
    struct loop *loop = loop_new();

    loop->now_us = us;
    loop->fresh = true;
    return loop;
}

static void ringer_init(struct ringer *ringer, struct loop *loop)
{
    *ringer = (struct ringer){.loop = loop};
    alarm_init(&ringer->alarm, on_ring);
}

static void arm(struct ringer *ringer, uint64_t ms)
{
    ringer->armed_us = loop_now_us(ringer->loop);
    ringer->ms = ms;
    alarm_arm(ringer->loop, &ringer->alarm, ms);
}

static int keep_timer(const struct event_base *base, const struct event *event, void *timer)
{
    (void)base;
    *(struct event **)timer = (struct event *)(size_t)event;
    return 0;
}

/* How long the wheel sleeps, or -1 when for ever. */
static int64_t sleep_us(struct loop *loop, struct event **timer)
{
    struct timeval due, now;

    *timer = NULL;
    event_base_foreach_event(loop->base, keep_timer, timer);
    if (!*timer || !event_pending(*timer, EV_TIMEOUT, &due))
        return -1;
    gettimeofday(&now, NULL);
    timersub(&due, &now, &due);
    return due.tv_sec < 0 ? 0 : (int64_t)due.tv_sec * 1000000 + due.tv_usec;
}

static void fire(struct loop *loop, struct event *timer)
{
    event_active(timer, EV_TIMEOUT, 0);
    event_base_loop(loop->base, EVLOOP_NONBLOCK);
}

/* Let the wheel sleep and wake once, but not beyond until_us; false when nothing is left. */
static bool wake(struct loop *loop, uint64_t until_us)
{
    struct event *timer;
    int64_t wait = sleep_us(loop, &timer);

    if (wait < 0 || loop->now_us >= until_us)
        return false;
    /* Real time went by since the timer was set, and is a part of the sleep. */
    loop->now_us += (uint64_t)wait + 1000;
    if (loop->now_us > until_us)
        loop->now_us = until_us;
    fire(loop, timer);
    return true;
}

static void pass(struct loop *loop, uint64_t ms)
{
    uint64_t until_us = loop->now_us + ms * 1000;

    while (wake(loop, until_us)) {
        continue;
    }
    loop->now_us = until_us;
}

static void check_in_time(const struct ringer *ringer)
{
    uint64_t due_us = ringer->armed_us + ringer->ms * 1000;

    ck_assert_msg(ringer->rang_us >= due_us, "%llu ms: early by %lld us",
                  (unsigned long long)ringer->ms, (long long)(due_us - ringer->rang_us));
    ck_assert_msg(ringer->rang_us <= due_us + 2 * TICK_US, "%llu ms: late by %lld us",
                  (unsigned long long)ringer->ms, (long long)(ringer->rang_us - due_us));
}

/* Around every border of the wheel's four levels (64^n ticks), and far beyond the last. */
static const uint64_t spans_ms[] = {
    0,
    1,
    7,
    8,
    9,
    63ull * 8,
    63ull * 8 + 1,
    64ull * 8,
    65ull * 8,
    127ull * 8,
    128ull * 8,
    4095ull * 8,
    4096ull * 8,
    4097ull * 8,
    4096ull * 8 + 77,
    262143ull * 8,
    262144ull * 8,
    262145ull * 8,
    262144ull * 8 * 5 + 12345,
    16777151ull * 8,
    16777152ull * 8,
    16777153ull * 8,
    16777216ull * 8,
    16777217ull * 8,
    16777216ull * 8 * 3 + 1,
    10 * DAY_MS,
    100 * DAY_MS,
    180 * DAY_MS,
};

/* Phases of the hand: mid-slot, the last tick of a slot of each level, the wrap of 32 bits. */
static const uint64_t starts_us[] = {
    FIRST_US,
    FIRST_US + TICK_US - 1,
    63 * TICK_US,
    64 * TICK_US,
    4095 * TICK_US,
    262143 * TICK_US,
    16777215ull * TICK_US,
    16777216ull * TICK_US,
    0x7ffffff0ull * TICK_US,
    0xfffffff0ull * TICK_US,
    0xfffff000ull * TICK_US,
};

START_TEST(an_alarm_of_any_length_rings_once_in_its_tick)
{
    for (size_t i = 0; i < sizeof(spans_ms) / sizeof(spans_ms[0]); i++) {
        for (size_t j = 0; j < sizeof(starts_us) / sizeof(starts_us[0]); j++) {
            struct loop *loop = clock_new(starts_us[j]);
            struct ringer ringer;

            ringer_init(&ringer, loop);
            arm(&ringer, spans_ms[i]);
            pass(loop, spans_ms[i] + 3ull * ALARM_TICK_MS);
            ck_assert_uint_eq(ringer.n, 1);
            check_in_time(&ringer);
            loop_free(&loop);
        }
    }
}
END_TEST

START_TEST(an_idle_wheel_sleeps_through)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;
    unsigned wakes = 0;

    ringer_init(&ringer, loop);
    arm(&ringer, DAY_MS);
    while (ringer.n == 0 && wake(loop, loop->now_us + 2 * DAY_MS * 1000)) {
        wakes++;
    }
    ck_assert_uint_eq(ringer.n, 1);
    /* Once a level, and a few more for what the real clock ran meanwhile. */
    ck_assert_uint_le(wakes, 40);
    loop_free(&loop);
}
END_TEST

START_TEST(the_longest_alarm_does_not_ring_at_once)
{
    static const uint64_t longest[] = {190 * DAY_MS, 198 * DAY_MS,    199 * DAY_MS, 200 * DAY_MS,
                                       201 * DAY_MS, 100000 * DAY_MS, UINT64_MAX};

    for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++) {
        struct loop *loop = clock_new(FIRST_US);
        struct ringer ringer;

        ringer_init(&ringer, loop);
        arm(&ringer, longest[i]);
        pass(loop, 180 * DAY_MS);
        ck_assert_uint_eq(ringer.n, 0);
        ck_assert(alarm_is_armed(&ringer.alarm));
        pass(loop, 11 * DAY_MS);
        ck_assert_uint_eq(ringer.n, 1);
        loop_free(&loop);
    }
}
END_TEST

START_TEST(armed_later_it_rings_at_the_last_deadline_only)
{
    for (size_t i = 5; i + 1 < sizeof(spans_ms) / sizeof(spans_ms[0]); i++) {
        struct loop *loop = clock_new(FIRST_US);
        struct ringer ringer;

        ringer_init(&ringer, loop);
        arm(&ringer, spans_ms[i]);
        pass(loop, spans_ms[i] - 10);
        arm(&ringer, spans_ms[i + 1]);
        pass(loop, spans_ms[i + 1] - 1);
        ck_assert_uint_eq(ringer.n, 0);
        pass(loop, 3ull * ALARM_TICK_MS);
        ck_assert_uint_eq(ringer.n, 1);
        check_in_time(&ringer);
        loop_free(&loop);
    }
}
END_TEST

START_TEST(pushing_on_does_not_touch_the_timer)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;
    struct event *timer;
    struct timeval before, after;

    ringer_init(&ringer, loop);
    arm(&ringer, 10000);
    ck_assert_int_ge(sleep_us(loop, &timer), 0);
    ck_assert(event_pending(timer, EV_TIMEOUT, &before));
    for (unsigned i = 0; i < 1000; i++) {
        loop->now_us += 1000;
        arm(&ringer, 10000);
    }
    ck_assert(event_pending(timer, EV_TIMEOUT, &after));
    /* Both are read through the real clock of now, which libevent corrects by microseconds. */
    timersub(&after, &before, &after);
    ck_assert_int_eq(after.tv_sec, 0);
    pass(loop, 9999);
    ck_assert_uint_eq(ringer.n, 0);
    pass(loop, 20);
    ck_assert_uint_eq(ringer.n, 1);
    loop_free(&loop);
}
END_TEST

START_TEST(armed_earlier_it_rings_at_the_earlier_deadline)
{
    for (size_t i = 5; i + 1 < sizeof(spans_ms) / sizeof(spans_ms[0]); i++) {
        struct loop *loop = clock_new(FIRST_US);
        struct ringer ringer;

        ringer_init(&ringer, loop);
        arm(&ringer, spans_ms[i + 1]);
        arm(&ringer, spans_ms[i - 3]);
        pass(loop, spans_ms[i - 3] + 3ull * ALARM_TICK_MS);
        ck_assert_uint_eq(ringer.n, 1);
        check_in_time(&ringer);
        pass(loop, spans_ms[i + 1] + 3ull * ALARM_TICK_MS);
        ck_assert_uint_eq(ringer.n, 1);
        loop_free(&loop);
    }
}
END_TEST

START_TEST(a_disarmed_alarm_stays_silent)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;

    ringer_init(&ringer, loop);
    ck_assert(!alarm_is_armed(&ringer.alarm));
    alarm_disarm(&ringer.alarm);
    arm(&ringer, 100);
    ck_assert(alarm_is_armed(&ringer.alarm));
    alarm_disarm(&ringer.alarm);
    ck_assert(!alarm_is_armed(&ringer.alarm));
    pass(loop, 1000);
    ck_assert_uint_eq(ringer.n, 0);
    arm(&ringer, 100);
    pass(loop, 200);
    ck_assert_uint_eq(ringer.n, 1);
    loop_free(&loop);
}
END_TEST

static void disarm_other(struct ringer *ringer)
{
    alarm_disarm(&ringer->other->alarm);
}

START_TEST(a_ring_may_disarm_an_alarm_of_the_same_tick)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer first, second;

    ringer_init(&first, loop);
    ringer_init(&second, loop);
    first.other = &second;
    first.then = disarm_other;
    arm(&first, 100);
    arm(&second, 100);
    pass(loop, 1000);
    ck_assert_uint_eq(first.n, 1);
    ck_assert_uint_eq(second.n, 0);
    loop_free(&loop);
}
END_TEST

static void push_other_on(struct ringer *ringer)
{
    arm(ringer->other, 500);
}

START_TEST(a_ring_may_push_on_an_alarm_of_the_same_tick)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer first, second;

    ringer_init(&first, loop);
    ringer_init(&second, loop);
    first.other = &second;
    first.then = push_other_on;
    arm(&first, 100);
    arm(&second, 100);
    pass(loop, 200);
    ck_assert_uint_eq(first.n, 1);
    ck_assert_uint_eq(second.n, 0);
    pass(loop, 1000);
    ck_assert_uint_eq(second.n, 1);
    check_in_time(&second);
    loop_free(&loop);
}
END_TEST

static void arm_again(struct ringer *ringer)
{
    if (ringer->n < 10)
        arm(ringer, 30);
}

START_TEST(a_ring_may_arm_its_own_alarm_again)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;

    ringer_init(&ringer, loop);
    ringer.then = arm_again;
    arm(&ringer, 30);
    pass(loop, 1000);
    ck_assert_uint_eq(ringer.n, 10);
    check_in_time(&ringer);
    loop_free(&loop);
}
END_TEST

START_TEST(a_ring_that_arms_for_now_does_not_ring_again_in_the_same_tick)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;
    struct event *timer;

    ringer_init(&ringer, loop);
    ringer.then = arm_again;
    arm(&ringer, 30);
    loop->now_us += 10000000; /* a loop that was busy for long */
    ck_assert_int_ge(sleep_us(loop, &timer), 0);
    fire(loop, timer);
    ck_assert_uint_eq(ringer.n, 1);
    loop_free(&loop);
}
END_TEST

START_TEST(a_late_loop_rings_by_deadline)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringers[40];
    struct event *timer;

    for (unsigned i = 0; i < 40; i++) {
        ringer_init(&ringers[i], loop);
        arm(&ringers[i], 10 + 100ull * ((i * 7) % 40));
    }
    loop->now_us += 2000 * 1000; /* past a half of them */
    ck_assert_int_ge(sleep_us(loop, &timer), 0);
    fire(loop, timer);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_uint_eq(ringers[i].n, ringers[i].ms <= 1992);
    }
    pass(loop, 5000);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_uint_eq(ringers[i].n, 1);
    }
    loop_free(&loop);
}
END_TEST

START_TEST(a_wheel_that_was_empty_for_long_starts_at_now)
{
    struct loop *loop = clock_new(FIRST_US);
    struct ringer ringer;

    ringer_init(&ringer, loop);
    for (unsigned i = 0; i < 5; i++) {
        arm(&ringer, 100);
        pass(loop, 300);
        ck_assert_uint_eq(ringer.n, i + 1);
        check_in_time(&ringer);
        loop->now_us += 150 * DAY_MS * 1000;
    }
    loop_free(&loop);
}
END_TEST

/* Against a model: each alarm rings once for its last arming, in its tick. */
START_TEST(many_alarms_armed_at_random_ring_in_their_ticks)
{
    enum { MANY = 200, STEPS = 3000 };
    static struct ringer ringers[MANY];
    struct loop *loop = clock_new(0xffff0000ull * TICK_US);
    unsigned expected[MANY] = {0};
    uint32_t seed = 12345;

    for (unsigned i = 0; i < MANY; i++) {
        ringer_init(&ringers[i], loop);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        struct ringer *ringer;

        seed = seed * 1664525u + 1013904223u;
        ringer = &ringers[(seed >> 8) % MANY];
        if ((seed >> 28) == 0)
            alarm_disarm(&ringer->alarm);
        else
            arm(ringer, spans_ms[(seed >> 16) % 18] + (seed & 63));
        pass(loop, (seed >> 20) & 255);
        for (unsigned i = 0; i < MANY; i++) {
            if (ringers[i].n == expected[i])
                continue;
            ck_assert_uint_eq(ringers[i].n, expected[i] + 1);
            check_in_time(&ringers[i]);
            expected[i]++;
        }
        ck_assert(!alarm_is_armed(&ringer->alarm) ||
                  ringer->armed_us + ringer->ms * 1000 + 2 * TICK_US >= loop->now_us);
    }
    loop_free(&loop);
}
END_TEST

UNIT_MAIN("core/alarm", an_alarm_of_any_length_rings_once_in_its_tick, an_idle_wheel_sleeps_through,
          the_longest_alarm_does_not_ring_at_once, armed_later_it_rings_at_the_last_deadline_only,
          pushing_on_does_not_touch_the_timer, armed_earlier_it_rings_at_the_earlier_deadline,
          a_disarmed_alarm_stays_silent, a_ring_may_disarm_an_alarm_of_the_same_tick,
          a_ring_may_push_on_an_alarm_of_the_same_tick, a_ring_may_arm_its_own_alarm_again,
          a_ring_that_arms_for_now_does_not_ring_again_in_the_same_tick,
          a_late_loop_rings_by_deadline, a_wheel_that_was_empty_for_long_starts_at_now,
          many_alarms_armed_at_random_ring_in_their_ticks)
