#include "core/signals.h"

#include "core/loop.h"

#include "unit.h"

#include <signal.h>

struct seen {
    struct loop *loop;
    int numbers[8];
    unsigned n, stop_at;
};

static void on_signal(void *seen_, int number)
{
    struct seen *seen = seen_;

    if (seen->n < 8)
        seen->numbers[seen->n] = number;
    if (++seen->n == seen->stop_at)
        loop_stop(seen->loop);
}

START_TEST(each_signal_is_told_by_its_number)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGUSR1};
    struct seen seen = {.loop = loop_new(), .stop_at = 1};
    struct signals *signals = signals_new(seen.loop, numbers, 3, on_signal, &seen);

    for (unsigned i = 0; i < 3; i++) {
        seen.n = 0;
        ck_assert_int_eq(raise(numbers[i]), 0);
        loop_run(seen.loop);
        ck_assert_uint_eq(seen.n, 1);
        ck_assert_int_eq(seen.numbers[0], numbers[i]);
    }
    signals_free(&signals);
    ck_assert_ptr_null(signals);
    loop_free(&seen.loop);
}
END_TEST

START_TEST(a_broken_pipe_kills_nobody)
{
    static const int numbers[] = {SIGHUP};
    struct seen seen = {.loop = loop_new()};
    struct signals *signals = signals_new(seen.loop, numbers, 1, on_signal, &seen);

    ck_assert_int_eq(raise(SIGPIPE), 0);
    signals_free(&signals);
    loop_free(&seen.loop);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct signals *signals = NULL;

    signals_free(&signals);
    ck_assert_ptr_null(signals);
}
END_TEST

UNIT_MAIN("core/signals", each_signal_is_told_by_its_number, a_broken_pipe_kills_nobody,
          free_accepts_null)
