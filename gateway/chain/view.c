#include "chain/view.h"

#include "base/alloc.h"
#include "base/ticks.h"
#include "chain/set.h"
#include "chain/state.h"
#include "observe/tally.h"

#include <string.h>

enum { SLOW_US = 5000 /* a worker serves thousands of others */ };

/* -- workers ------------------------------------------------------------------- */

struct chain_worker *chain_worker_new(void *owner, struct loop *loop, struct rng *rng,
                                      const struct chain_ops *ops, unsigned index,
                                      unsigned n_workers)
{
    struct chain_worker *worker = alloc_new(sizeof(*worker));

    worker->owner = owner;
    worker->loop = loop;
    worker->rng = rng;
    worker->ops = ops;
    worker->index = index;
    worker->n_workers = n_workers;
    worker->slow_gate = (struct log_gate){.per_second = 1, .burst = 5};
    worker->fail_gate = (struct log_gate){.per_second = 1, .burst = 5};
    for (unsigned i = 0; i < CHAIN_TICKET_ROWS; i++)
        list_init(&worker->tickets[i]);
    return worker;
}

void chain_worker_free(struct chain_worker **worker)
{
    alloc_free(*worker);
    *worker = NULL;
}

/* -- places ---------------------------------------------------------------------- */

static void *worker_memory(const struct sluice_plugin *about)
{
    return about->worker_size > 0 ? alloc_new(about->worker_size) : NULL;
}

static void start(struct sluice_place *place, struct chain_view *view, struct chain_entry *entry)
{
    struct chain_worker *worker = view->worker;

    place->entry = entry;
    place->view = view;
    place->worker = worker;
    place->counters = tally_slot(entry->tally, worker->index);
    place->own = tally_slot(entry->own, worker->index);
    place->call = (struct sluice_call){.host = &host_table,
                                       .place = place,
                                       .conf = entry->conf,
                                       .worker = worker_memory(entry->about)};
    list_init(&place->pending);
    list_init(&place->doors);
    if (entry->written->disabled) {
        place->is_broken = true; /* no chain has it */
        return;
    }
    if (entry->about->worker_start && !entry->about->worker_start(&place->call)) {
        place->is_broken = true;
        log_error("plugin cannot start on a worker", F_SPAN("place", entry->place),
                  F_STR("plugin", entry->about->name), F_UINT("worker", worker->index));
    }
}

static void stop(struct sluice_place *place)
{
    place->is_ended = true;
    doors_end(place);
    pending_drop_all(&place->pending);
    if (place->entry->about->worker_stop && !place->entry->written->disabled)
        place->entry->about->worker_stop(&place->call);
    alloc_free(place->call.worker);
}

struct chain_view *chain_view_new(struct chain_worker *worker, struct chain_set *set,
                                  const struct chain_holder *holder)
{
    struct chain_view *view = alloc_new(sizeof(*view));

    if (worker->ticks_per_us == 0) {
        worker->ticks_per_us = ticks_per_us();
        worker->times_scale = times_scale(worker->ticks_per_us);
        worker->slow_ticks = SLOW_US * worker->ticks_per_us;
    }
    view->worker = worker;
    view->set = set;
    view->holder = *holder;
    view->n_places = set->n;
    view->places = alloc_new((set->n + 1) * sizeof(struct sluice_place));
    for (unsigned i = 0; i < set->n; i++)
        start(&view->places[i], view, set->entry[i]);
    return view;
}

void chain_view_free(struct chain_view **view)
{
    struct chain_view *old = *view;

    *view = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < old->n_places; i++)
        stop(&old->places[i]);
    alloc_free(old->places);
    alloc_free(old);
}

static enum sluice_verdict drain(const struct sluice_call *call, void *is_done_)
{
    bool *is_done = is_done_;

    *is_done = call->place->entry->about->on_drain(call) != SLUICE_WAIT;
    return SLUICE_NEXT;
}

bool chain_view_drain(struct chain_view *view)
{
    bool all = true;

    for (unsigned i = 0; i < view->n_places; i++) {
        struct sluice_place *place = &view->places[i];
        bool is_done = true;

        if (place->entry->about->on_drain && !place->is_broken)
            place_run(place, drain, &is_done);
        all = all && is_done;
    }
    return all;
}

void place_hold(struct sluice_place *place)
{
    place->view->holder.hold(place->view->holder.owner);
}

void place_release(struct sluice_place *place)
{
    place->view->holder.release(place->view->holder.owner);
}
