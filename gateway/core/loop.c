#include "core/loop.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/now.h"
#include "core/alarm.h"
#include "core/bytes.h"

#include <event2/event.h>

/* A turn is one pass of libevent's own loop, so that we know where it ends. */

static void on_trim(struct alarm *alarm)
{
    struct loop *loop = list_entry(alarm, struct loop, trim);

    if (slab_set_trim(&loop->slabs, LOOP_TRIM_BYTES))
        alarm_arm(loop, alarm, LOOP_TRIM_MS);
}

static void on_room(struct slab_set *set)
{
    struct loop *loop = list_entry(set, struct loop, slabs);

    alarm_arm(loop, &loop->trim, LOOP_TRIM_MS);
}

struct loop *loop_new(void)
{
    struct loop *loop = alloc_new(sizeof(*loop));
    struct event_config *config = event_config_new();

    CHECK(config != NULL);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    CHECK(loop->base != NULL);
    list_init(&loop->soon);
    list_init(&loop->line);
    slab_init(&loop->blocks, BLOCK_BYTES, 0);
    slab_init(&loop->large_blocks, BLOCK_LARGE_BYTES, 0);
    slab_set_init(&loop->slabs, on_room);
    slab_join(&loop->blocks, &loop->slabs);
    slab_join(&loop->large_blocks, &loop->slabs);
    alarm_init(&loop->trim, on_trim);
    pipes_init(&loop->pipes);
    loop->lent = alloc_new(LOOP_LENT_BYTES);
    loop->wheel = wheel_new(loop);
    return loop;
}

void loop_free(struct loop **loop)
{
    struct loop *old = *loop;

    if (!old)
        return;
    *loop = NULL;
    alarm_disarm(&old->trim);
    pipes_fini(&old->pipes);
    wheel_free(&old->wheel);
    event_base_free(old->base);
    alloc_free(old->lent);
    alloc_free(old->cork);
    if (old->tls)
        old->tls_free(&old->tls);
    slab_fini(&old->blocks);
    slab_fini(&old->large_blocks);
    alloc_free(old);
}

static void run_soon(struct loop *loop)
{
    struct list now;

    list_init(&now);
    if (list_is_empty(&loop->soon))
        return;
    /* What is put off from here on waits for the next turn. */
    list_insert_after(&loop->soon, &now);
    list_remove(&loop->soon);

    while (!list_is_empty(&now)) {
        struct soon *soon = list_entry(now.next, struct soon, link);

        list_remove(&soon->link);
        soon->run(soon);
    }
}

/* Who lines up from here on is behind the mark. */
static void run_line(struct loop *loop)
{
    unsigned left = LOOP_LINE + loop->n_answers / 2;
    struct list mark;

    loop->n_answers = 0;
    if (list_is_empty(&loop->line))
        return;
    list_init(&mark);
    list_append(&loop->line, &mark);
    for (; left > 0 && loop->line.next != &mark; left--) {
        struct soon *soon = list_entry(loop->line.next, struct soon, link);

        list_remove(&soon->link);
        soon->run(soon);
    }
    list_remove(&mark);
}

/* From when the time was first asked for, which is at the turn's first event, to its end. */
static void count_turn(struct loop *loop)
{
    uint64_t took_us;

    counter_add(&loop->turns, 1);
    if (!loop->fresh)
        return;
    took_us = now_us() - loop->now_us;
    histogram_add(&loop->turn_times, took_us);
    if (took_us > LOOP_SLOW_US)
        counter_add(&loop->slow_turns, 1);
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        int flags = EVLOOP_ONCE;

        if (!list_is_empty(&loop->soon) || !list_is_empty(&loop->line))
            flags |= EVLOOP_NONBLOCK;
        loop->fresh = false;
        if (event_base_loop(loop->base, flags) < 0)
            break;
        run_soon(loop);
        run_line(loop);
        count_turn(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void soon_init(struct soon *soon, void (*run)(struct soon *soon))
{
    list_init(&soon->link);
    soon->run = run;
}

void loop_soon(struct loop *loop, struct soon *soon)
{
    if (list_is_empty(&soon->link))
        list_append(&loop->soon, &soon->link);
}

void loop_line_up(struct loop *loop, struct soon *soon)
{
    if (list_is_empty(&soon->link))
        list_append(&loop->line, &soon->link);
}

void soon_cancel(struct soon *soon)
{
    list_remove(&soon->link);
}

bool soon_is_set(const struct soon *soon)
{
    return !list_is_empty(&soon->link);
}

uint64_t loop_look_at_clock(struct loop *loop)
{
    loop->now_us = now_us();
    loop->fresh = true;
    return loop->now_us;
}
