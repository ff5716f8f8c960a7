#include "core/watch.h"

#include "base/alloc.h"
#include "core/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>

struct watch {
    struct event event;
    struct loop *loop; /* borrowed */
    watch_fn *on_ready;
    void *arg; /* borrowed */
    int fd;    /* borrowed */
    unsigned wanted;
};

static void on_event(evutil_socket_t fd, short what, void *watch_)
{
    struct watch *watch = watch_;
    unsigned ready = 0;

    if (what & EV_READ)
        ready |= WATCH_READ;
    if (what & EV_WRITE)
        ready |= WATCH_WRITE;
    watch->on_ready(watch->arg, (int)fd, ready);
}

struct watch *watch_new(struct loop *loop, int fd, watch_fn *on_ready, void *arg)
{
    struct watch *watch = alloc_new(sizeof(*watch));

    watch->loop = loop;
    watch->fd = fd;
    watch->on_ready = on_ready;
    watch->arg = arg;
    return watch;
}

void watch_free(struct watch **watch)
{
    if (!*watch)
        return;
    watch_set(*watch, 0);
    alloc_free(*watch);
    *watch = NULL;
}

void watch_set(struct watch *watch, unsigned wanted)
{
    short what = EV_PERSIST;

    if (wanted == watch->wanted)
        return;
    if (watch->wanted)
        event_del(&watch->event);
    watch->wanted = wanted;
    if (!wanted)
        return;
    if (wanted & WATCH_READ)
        what |= EV_READ;
    if (wanted & WATCH_WRITE)
        what |= EV_WRITE;
    event_assign(&watch->event, watch->loop->base, watch->fd, what, on_event, watch);
    event_add(&watch->event, NULL);
}
