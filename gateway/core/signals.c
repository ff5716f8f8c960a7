#include "core/signals.h"

#include "base/alloc.h"
#include "base/check.h"
#include "core/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <signal.h>

enum { SIGNALS_MAX = 8 };

struct signals {
    struct event event[SIGNALS_MAX];
    unsigned n;
    signals_fn *on_signal;
    void *arg; /* borrowed */
};

static void on_event(evutil_socket_t number, short what, void *signals_)
{
    struct signals *signals = signals_;

    (void)what;
    signals->on_signal(signals->arg, (int)number);
}

struct signals *signals_new(struct loop *loop, const int *numbers, unsigned n,
                            signals_fn *on_signal, void *arg)
{
    struct signals *signals = alloc_new(sizeof(*signals));

    CHECK(n <= SIGNALS_MAX);
    signal(SIGPIPE, SIG_IGN);
    signals->on_signal = on_signal;
    signals->arg = arg;
    signals->n = n;
    for (unsigned i = 0; i < n; i++) {
        evsignal_assign(&signals->event[i], loop->base, numbers[i], on_event, signals);
        event_add(&signals->event[i], NULL);
    }
    return signals;
}

void signals_free(struct signals **signals)
{
    if (!*signals)
        return;
    for (unsigned i = 0; i < (*signals)->n; i++) {
        event_del(&(*signals)->event[i]);
    }
    alloc_free(*signals);
    *signals = NULL;
}
