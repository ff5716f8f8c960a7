/*
 * alarm.c - a wheel of four levels of 64 slots, turned by one libevent timer.
 *
 * A slot of level 0 is one tick wide, of level n 64^n ticks. The wheel moves from
 * one slot in use to the next (a bit per slot tells which are), so an idle wheel
 * sleeps as long as nothing can be due. When the hand reaches a slot of a higher level, its
 * alarms are put where they belong by their deadlines, which may have moved meanwhile.
 */
#include "core/alarm.h"

#include "base/alloc.h"
#include "core/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#define TICK_US (ALARM_TICK_MS * 1000ull)

enum { LEVELS = 4 /* is_empty() names each */, SLOT_BITS = 6, SLOTS = 1 << SLOT_BITS };

#define FARTHEST                                                                                   \
    ((1u << (LEVELS * SLOT_BITS)) - SLOTS) /* ticks; beyond it an alarm is looked at early */
#define MAX_MS                                                                                     \
    (190ull * 24 * 3600 * 1000) /* keeps tick differences within 31 bits, from a late hand too */

struct wheel {
    struct event timer;
    struct loop *loop; /* borrowed, owns us */
    uint32_t hand;     /* all ticks up to and including this one have been dealt with */
    uint32_t wake;     /* tick the timer is set for, when it is */
    bool waking;
    uint64_t used[LEVELS]; /* a bit per slot that may hold alarms */
    struct list slot[LEVELS][SLOTS];
};

static uint32_t tick_now(struct loop *loop)
{
    return (uint32_t)(loop_now_us(loop) / TICK_US);
}

static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* The next tick at which a slot in use is reached; false when all are empty. */
static bool next_stop(const struct wheel *wheel, uint32_t *stop)
{
    bool found = false;

    for (unsigned level = 0; level < LEVELS; level++) {
        uint64_t used = wheel->used[level];
        uint32_t at = wheel->hand >> (level * SLOT_BITS);
        unsigned turn = (at + 1) & (SLOTS - 1);
        uint32_t tick;

        if (used == 0)
            continue;
        /* Rotate so that bit 0 is the slot after the hand's. */
        used = turn == 0 ? used : (used >> turn) | (used << (SLOTS - turn));
        tick = (at + 1 + (uint32_t)__builtin_ctzll(used)) << (level * SLOT_BITS);
        if (!found || is_before(tick, *stop))
            *stop = tick;
        found = true;
    }
    return found;
}

static void set_timer(struct wheel *wheel, uint32_t wake)
{
    uint64_t now = loop_now_us(wheel->loop);
    uint64_t now_tick = now / TICK_US;
    uint64_t wait_ticks = is_before((uint32_t)now_tick, wake) ? wake - (uint32_t)now_tick : 0;
    uint64_t wait_us = (now_tick + wait_ticks) * TICK_US;
    struct timeval wait;

    wait_us = wait_us > now ? wait_us - now : 0;
    wait.tv_sec = (time_t)(wait_us / 1000000);
    wait.tv_usec = (suseconds_t)(wait_us % 1000000);
    wheel->wake = wake;
    wheel->waking = event_add(&wheel->timer, &wait) == 0;
}

static bool is_empty(const struct wheel *wheel)
{
    return (wheel->used[0] | wheel->used[1] | wheel->used[2] | wheel->used[3]) == 0;
}

static void place(struct wheel *wheel, struct alarm *alarm)
{
    uint32_t ahead = alarm->deadline - wheel->hand;
    unsigned level = 0;
    unsigned slot;

    if (ahead > FARTHEST)
        ahead = FARTHEST;
    alarm->due = wheel->hand + ahead;
    while (level + 1 < LEVELS && ahead >> ((level + 1) * SLOT_BITS) != 0) {
        level++;
    }
    slot = (alarm->due >> (level * SLOT_BITS)) & (SLOTS - 1);
    list_append(&wheel->slot[level][slot], &alarm->link);
    wheel->used[level] |= 1ull << slot;
}

/* Move the alarms of a slot to due or to where they belong now. */
static void empty_slot(struct wheel *wheel, unsigned level, struct list *due)
{
    unsigned slot = (wheel->hand >> (level * SLOT_BITS)) & (SLOTS - 1);
    struct list *from = &wheel->slot[level][slot];
    struct list all;

    wheel->used[level] &= ~(1ull << slot);
    if (list_is_empty(from))
        return;
    list_insert_after(from, &all);
    list_remove(from);
    while (!list_is_empty(&all)) {
        struct alarm *alarm = list_entry(all.next, struct alarm, link);

        list_remove(&alarm->link);
        if (is_before(wheel->hand, alarm->deadline)) {
            place(wheel, alarm);
        } else {
            list_append(due, &alarm->link);
        }
    }
}

static void advance(struct wheel *wheel, uint32_t now)
{
    uint32_t stop;

    while (next_stop(wheel, &stop) && !is_before(now, stop)) {
        struct list due;

        list_init(&due);
        wheel->hand = stop;
        for (unsigned level = LEVELS; level-- > 0;) {
            if ((stop & ((1u << (level * SLOT_BITS)) - 1)) == 0)
                empty_slot(wheel, level, &due);
        }
        while (!list_is_empty(&due)) {
            struct alarm *alarm = list_entry(due.next, struct alarm, link);

            list_remove(&alarm->link);
            /* One that rang before may have pushed this one on. */
            if (is_before(now, alarm->deadline)) {
                place(wheel, alarm);
            } else {
                alarm->ring(alarm);
            }
        }
    }
    if (is_before(wheel->hand, now))
        wheel->hand = now;
}

static void on_timer(evutil_socket_t fd, short what, void *wheel_)
{
    struct wheel *wheel = wheel_;
    uint32_t stop;

    (void)fd;
    (void)what;
    wheel->waking = false;
    advance(wheel, tick_now(wheel->loop));
    if (next_stop(wheel, &stop) && (!wheel->waking || is_before(stop, wheel->wake)))
        set_timer(wheel, stop);
}

struct wheel *wheel_new(struct loop *loop)
{
    struct wheel *wheel = alloc_new(sizeof(*wheel));

    wheel->loop = loop;
    wheel->hand = tick_now(loop);
    for (unsigned level = 0; level < LEVELS; level++) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            list_init(&wheel->slot[level][slot]);
        }
    }
    evtimer_assign(&wheel->timer, loop->base, on_timer, wheel);
    return wheel;
}

void wheel_free(struct wheel **wheel)
{
    if (!*wheel)
        return;
    event_del(&(*wheel)->timer);
    alloc_free(*wheel);
    *wheel = NULL;
}

void alarm_init(struct alarm *alarm, alarm_fn *ring)
{
    list_init(&alarm->link);
    alarm->due = alarm->deadline = 0;
    alarm->ring = ring;
}

void alarm_arm(struct loop *loop, struct alarm *alarm, uint64_t ms)
{
    struct wheel *wheel = loop->wheel;
    uint64_t moment_us = loop_now_us(loop) + (ms < MAX_MS ? ms : MAX_MS) * 1000;

    /* A wheel that slept has a hand far behind. */
    if (list_is_empty(&alarm->link) && is_empty(wheel))
        wheel->hand = tick_now(loop);
    /* The first tick that begins at or after the moment, so never early. */
    alarm->deadline = (uint32_t)((moment_us + TICK_US - 1) / TICK_US);
    if (!is_before(wheel->hand, alarm->deadline))
        alarm->deadline = wheel->hand + 1;
    if (!list_is_empty(&alarm->link)) {
        if (!is_before(alarm->deadline, alarm->due))
            return;
        list_remove(&alarm->link);
    }
    place(wheel, alarm);
    if (!wheel->waking || is_before(alarm->due, wheel->wake))
        set_timer(wheel, alarm->due);
}

void alarm_disarm(struct alarm *alarm)
{
    list_remove(&alarm->link);
}

bool alarm_is_armed(const struct alarm *alarm)
{
    return !list_is_empty(&alarm->link);
}
