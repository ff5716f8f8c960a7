/*
 * until.h - turn a loop until something is true, for tests on one thread.
 *
 * The loop does not wait meanwhile, so what a test does between two calls is seen at once. A
 * condition that never comes fails the test after UNTIL_S seconds.
 */
#ifndef TEST_UNTIL_H
#define TEST_UNTIL_H

#include "base/now.h"
#include "core/loop.h"

#include <check.h>

enum { UNTIL_S = 10 };

typedef bool until_fn(void *arg);

struct until {
    struct soon soon;
    struct loop *loop;
    until_fn *is_true; /* NULL: count turns only */
    void *arg;
    uint64_t deadline_us;
    unsigned turns_left; /* without a condition */
    bool met;
};

static inline void until_check(struct soon *soon)
{
    struct until *until = list_entry(soon, struct until, soon);

    until->met = until->is_true ? until->is_true(until->arg) : until->turns_left-- == 0;
    if (until->met || now_us() > until->deadline_us)
        loop_stop(until->loop);
    else
        loop_soon(until->loop, &until->soon);
}

static inline bool until_run(struct until *until)
{
    until->deadline_us = now_us() + UNTIL_S * 1000000ull;
    soon_init(&until->soon, until_check);
    loop_soon(until->loop, &until->soon);
    loop_run(until->loop);
    return until->met;
}

static inline void until_or_fail(struct loop *loop, until_fn *is_true, void *arg, const char *file,
                                 int line)
{
    struct until until = {.loop = loop, .is_true = is_true, .arg = arg};

    ck_assert_msg(until_run(&until), "what %s:%d waits for did not happen", file, line);
}

#define loop_until(loop, is_true, arg) until_or_fail((loop), (is_true), (arg), __FILE__, __LINE__)

/* Some turns, for what must not happen and for what happens at the end of a turn. */
static inline void loop_turns(struct loop *loop, unsigned n)
{
    struct until until = {.loop = loop, .turns_left = n};

    ck_assert(until_run(&until));
}

#endif /* TEST_UNTIL_H */
