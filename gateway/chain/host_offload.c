/*
 * host_offload.c - work of plugins on the helper threads.
 *
 * The job holds its place until it has come back, so that code and conf are there as long as a
 * helper works with them; what is dropped meanwhile is only not told.
 */
#include "base/alloc.h"
#include "chain/host.h"
#include "chain/set.h"
#include "core/helpers.h"

#include <string.h>

struct offload {
    struct helpers_job job;
    struct chain_pending pending;
    struct sluice_place *place; /* held */
    sluice_work_fn *work;
    sluice_work_done_fn *done;
    bool is_dropped;
    _Alignas(16) char data[];
};

static void run(struct helpers_job *job)
{
    struct offload *offload = (struct offload *)(void *)job;

    offload->work(offload->place->call.conf, offload->data);
}

static enum sluice_verdict finish(const struct sluice_call *call, void *offload_)
{
    struct offload *offload = offload_;

    return offload->done(call, offload->data);
}

static void on_drop(struct chain_pending *pending)
{
    list_entry(pending, struct offload, pending)->is_dropped = true;
}

static void on_over(void *owner, struct letter *letter)
{
    struct offload *offload = (struct offload *)(void *)letter;

    (void)owner;
    if (!offload->is_dropped && offload->job.has_run) {
        pending_finish(&offload->pending, finish, offload);
    } else if (!offload->is_dropped) {
        pending_remove(&offload->pending); /* the gateway ends */
    }
    place_release(offload->place);
    alloc_free(offload);
}

uint64_t host_offload(const struct sluice_call *call, sluice_work_fn *work, const void *data,
                      size_t bytes, sluice_work_done_fn *done)
{
    struct sluice_place *place = call->place;
    struct helpers *helpers = place->view->set->home->helpers;
    struct offload *offload;
    uint64_t number;

    if (!helpers || bytes > SIZE_MAX - sizeof(*offload))
        return 0;
    offload = alloc_try(sizeof(*offload) + bytes);
    if (!offload)
        return 0;
    *offload = (struct offload){
        .job = {.over = on_over,
                .run = run,
                .home = place->worker->ops->mailbox(place->worker->owner)},
        .place = place,
        .work = work,
        .done = done,
    };
    if (bytes > 0)
        memcpy(offload->data, data, bytes);
    number = pending_add(call, &offload->pending, on_drop);
    if (number > 0 && helpers_submit(helpers, &offload->job) != OK) {
        pending_remove(&offload->pending);
        number = 0;
    }
    if (number == 0) {
        alloc_free(offload);
        return 0;
    }
    place_hold(place);
    return number;
}
