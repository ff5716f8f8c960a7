/*
 * host_timer.c - timers of an exchange or a worker.
 */
#include "base/alloc.h"
#include "chain/host.h"

struct host_alarm {
    struct chain_pending pending;
    struct alarm alarm;
    sluice_timer_fn *done;
    void *arg; /* the plugin's */
};

static void on_drop(struct chain_pending *pending)
{
    struct host_alarm *timer = list_entry(pending, struct host_alarm, pending);

    alarm_disarm(&timer->alarm);
    alloc_free(timer);
}

static enum sluice_verdict finish(const struct sluice_call *call, void *timer_)
{
    const struct host_alarm *timer = timer_;

    return timer->done(call, timer->arg);
}

static void on_alarm(struct alarm *alarm)
{
    struct host_alarm *timer = list_entry(alarm, struct host_alarm, alarm);

    pending_finish(&timer->pending, finish, timer);
    alloc_free(timer);
}

uint64_t host_timer(const struct sluice_call *call, uint32_t ms, sluice_timer_fn *done, void *arg)
{
    struct host_alarm *timer = alloc_try(sizeof(*timer));
    uint64_t number;

    if (!timer)
        return 0;
    timer->done = done;
    timer->arg = arg;
    alarm_init(&timer->alarm, on_alarm);
    number = pending_add(call, &timer->pending, on_drop);
    if (number == 0) {
        alloc_free(timer);
        return 0;
    }
    alarm_arm(call->place->worker->loop, &timer->alarm, ms);
    return number;
}
