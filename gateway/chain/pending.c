/*
 * pending.c - what plugins have under way, and tickets: how a completion finds its exchange.
 */
#include "chain/state.h"

/* -- lists -------------------------------------------------------------------- */

uint64_t pending_add(const struct sluice_call *call, struct chain_pending *pending,
                     chain_drop_fn *drop)
{
    struct sluice_exchange *ex = call->exchange;
    struct sluice_place *place = call->place;
    unsigned *n = ex ? &ex->n_pending : &place->n_pending;

    if (*n == CHAIN_PENDING_MAX || (ex ? ex->is_ended || !ex->running : place->is_ended))
        return 0;
    ++*n;
    pending->place = place;
    pending->exchange = ex;
    pending->number = ++place->worker->last_number;
    pending->drop = drop;
    if (ex) {
        pending->flow = ex->flow;
        pending->seat = (unsigned)(ex->running - ex->seat);
    }
    list_append(ex ? &ex->pending : &place->pending, &pending->link);
    return pending->number;
}

void pending_remove(struct chain_pending *pending)
{
    if (pending->exchange) {
        pending->exchange->n_pending--;
    } else {
        pending->place->n_pending--;
    }
    list_remove(&pending->link);
}

void pending_drop_all(struct list *pending)
{
    while (!list_is_empty(pending)) {
        struct chain_pending *one = list_entry(pending->next, struct chain_pending, link);

        pending_remove(one);
        one->drop(one);
    }
}

void pending_cancel(const struct sluice_call *call, uint64_t number)
{
    struct list *pending = call->exchange ? &call->exchange->pending : &call->place->pending;

    list_each_safe (node, after, pending) {
        struct chain_pending *one = list_entry(node, struct chain_pending, link);

        if (one->number != number || one->place != call->place)
            continue;
        pending_remove(one);
        one->drop(one);
        return;
    }
}

/* -- completions ---------------------------------------------------------------- */

void place_run(struct sluice_place *place, chain_finish_fn *run, void *arg)
{
    struct run_call call;

    run_enter(&call, place, SLUICE_PHASE_DONE);
    (void)run(&place->call, arg);
    run_leave(&call);
}

void pending_finish(struct chain_pending *pending, chain_finish_fn *finish, void *arg)
{
    struct sluice_exchange *ex = pending->exchange;
    struct chain_seat *seat;

    pending_remove(pending);
    if (!ex) {
        place_run(pending->place, finish, arg);
        return;
    }
    seat = &ex->seat[pending->seat];
    ex->ops->enter(ex->owner);
    run_finish(ex, (enum chain_flow)pending->flow, seat, finish, arg);
    ex->ops->leave(ex->owner);
}

/* -- tickets --------------------------------------------------------------------- */

static struct list *row_of(struct chain_worker *worker, uint64_t number)
{
    return &worker->tickets[number % CHAIN_TICKET_ROWS];
}

struct sluice_ticket ticket_new(const struct sluice_call *call)
{
    struct sluice_exchange *ex = call->exchange;
    struct chain_worker *worker = call->place->worker;
    struct chain_wait *wait;

    /* What never waits has no ticket: it would stay in the row when the exchange is gone. */
    if (!ex || !ex->running || ex->is_ended || ex->flow == CHAIN_ASIDE)
        return (struct sluice_ticket){worker->index, 0};
    wait = &ex->wait[ex->flow];
    if (wait->number == 0) {
        wait->number = ++worker->last_number;
        list_append(row_of(worker, wait->number), &wait->link);
    }
    return (struct sluice_ticket){worker->index, wait->number};
}

static struct chain_wait *ticket_find(struct chain_worker *worker, struct sluice_ticket ticket)
{
    if (ticket.worker != worker->index || ticket.serial == 0)
        return NULL;
    list_each (node, row_of(worker, ticket.serial)) {
        struct chain_wait *wait = list_entry(node, struct chain_wait, link);

        if (wait->number == ticket.serial)
            return wait;
    }
    return NULL;
}

void wait_clear_rest(struct chain_wait *wait)
{
    if (wait->number > 0)
        list_remove(&wait->link);
    wait->number = 0;
    alarm_disarm(&wait->deadline);
    wait->is_waiting = false;
}

/* What to answer with, when nobody is asked first. */
struct known_verdict {
    enum sluice_verdict verdict;
    sluice_timer_fn *before;
    void *arg;
};

static enum sluice_verdict answer(const struct sluice_call *call, void *known_)
{
    const struct known_verdict *known = known_;

    return known->before ? known->before(call, known->arg) : known->verdict;
}

bool ticket_resume(const struct sluice_call *call, struct sluice_ticket ticket,
                   enum sluice_verdict verdict, sluice_timer_fn *before, void *arg)
{
    struct chain_wait *wait = ticket_find(call->place->worker, ticket);
    struct known_verdict known = {verdict, before, arg};
    struct sluice_exchange *ex;

    if (!wait || !wait->is_waiting || wait->exchange->running ||
        wait->exchange->seat[wait->seat].call.place != call->place) {
        counter_add(&call->place->counters->stale, 1);
        return false;
    }
    ex = wait->exchange;
    ex->ops->enter(ex->owner);
    run_finish(ex, (enum chain_flow)(wait - ex->wait), &ex->seat[wait->seat], answer, &known);
    ex->ops->leave(ex->owner);
    return true;
}
