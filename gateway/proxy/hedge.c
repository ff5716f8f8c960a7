#include "proxy/hedge.h"

#include "proxy/exchange_chain.h"
#include "proxy/worker.h"

static struct upstream *upstream_of(const struct exchange *ex)
{
    return ex->view->upstreams[ex->target->index];
}

static void count(const struct exchange *ex, enum upstream_hedge_end result)
{
    counter_add(&upstream_of(ex)->counters->hedges[result], 1);
}

/* -- starting ---------------------------------------------------------------- */

static void give_up(struct exchange *ex, struct attempt *rival)
{
    attempt_end(rival);
    ex->hedge->rival = NULL;
    ex->hedge->result = HEDGE_LOST;
    count(ex, UPSTREAM_HEDGE_LOST);
}

static void send_to_rival(struct exchange *ex)
{
    struct attempt *rival = ex->hedge->rival;

    if (exchange_send_request(ex, rival) != OK) {
        give_up(ex, rival);
        return;
    }
    ex->hedge->rival_sent = true;
    /* What cannot be sent at once goes when it can; that it cannot be at all, reading tells. */
    (void)rival->leg.ops->flush(&rival->leg);
}

/* Is the first try still waiting for its answer, and may there be another beside it? */
static bool may_start(const struct exchange *ex)
{
    return (ex->state == EX_LEASE || ex->state == EX_FORWARD) && ex->tries <= 1 &&
           ex->request.upgrade.len == 0;
}

static void start(struct exchange *ex)
{
    const struct lease *lease = &ex->attempt->lease;
    struct attempt *rival;
    enum reason reason;
    enum err err;
    bool is_refused;

    if (!upstream_has_other(upstream_of(ex), lease))
        return;
    if (!upstream_take_retry(upstream_of(ex))) {
        count(ex, UPSTREAM_HEDGE_REFUSED);
        return;
    }
    rival = arena_try_raw(&ex->arena, sizeof(*rival));
    if (!rival)
        return;
    attempt_init(rival, ex);
    rival->lease.selection = lease->selection;
    rival->lease.key = lease->key;
    rival->lease.has_key = lease->has_key;
    if (lease->endpoint) {
        rival->lease.endpoint = lease->endpoint;
        lease_mark_tried(&rival->lease);
    }
    ex->hedge->rival = rival;
    err = attempt_start(rival, upstream_of(ex), &reason);
    is_refused = ex->chain && attempt_is_held(rival) && !exchange_chain_attempt(ex, rival);
    if (is_refused || (err && err != ERR_AGAIN) || attempt_is_queued(rival)) {
        give_up(ex, rival); /* a hedge is in nobody's way */
    } else if (err == OK) {
        send_to_rival(ex);
    }
    if (ex->hedge->rival)
        ex->hedge->result = HEDGE_RUNS;
}

static void on_after(struct alarm *alarm)
{
    struct hedge *hedge = list_entry(alarm, struct hedge, after);
    struct exchange *ex = hedge->ex;

    exchange_enter(ex);
    if (may_start(ex))
        start(ex);
    exchange_leave(ex);
}

void hedge_begin(struct exchange *ex)
{
    uint64_t after_ms = ex->view->snapshot->upstreams[ex->target->index].conf->hedge.after_ms;

    if (!ex->request_done || !method_is_idempotent(ex->request.method))
        return;
    ex->hedge = arena_try(&ex->arena, sizeof(*ex->hedge));
    if (!ex->hedge)
        return;
    ex->hedge->ex = ex;
    alarm_init(&ex->hedge->after, on_after);
    alarm_arm(ex->worker->loop, &ex->hedge->after, after_ms);
}

/* -- ending -------------------------------------------------------------------- */

void hedge_end(struct exchange *ex)
{
    alarm_disarm(&ex->hedge->after);
    if (ex->hedge->rival)
        give_up(ex, ex->hedge->rival);
}

/* The rival leads from now on; the leader has ended. */
static void take_lead(struct exchange *ex)
{
    struct hedge *hedge = ex->hedge;

    ex->attempt = hedge->rival;
    hedge->rival = NULL;
    exchange_note_leader(ex);
    ex->state = hedge->rival_sent ? EX_FORWARD : EX_LEASE;
}

void hedge_on_connected(struct exchange *ex)
{
    send_to_rival(ex);
}

bool hedge_on_failure(struct exchange *ex, const struct attempt *attempt)
{
    struct hedge *hedge = ex->hedge;

    if (!hedge || !hedge->rival)
        return false;
    if (attempt == hedge->rival) {
        give_up(ex, hedge->rival);
        return true;
    }
    attempt_end(ex->attempt);
    take_lead(ex);
    hedge->result = HEDGE_WON;
    count(ex, UPSTREAM_HEDGE_WON);
    return true;
}

bool hedge_on_response(struct exchange *ex, struct attempt *attempt,
                       const struct response *response)
{
    struct hedge *hedge = ex->hedge;

    if (!hedge)
        return false;
    alarm_disarm(&hedge->after);
    if (!hedge->rival)
        return false;
    if (retry_names_status(ex->target->retry, response->status)) {
        if (ex->chain)
            exchange_chain_attempt_done(ex, attempt, response->status, REASON_NONE, false);
        return hedge_on_failure(ex, attempt);
    }
    if (attempt == hedge->rival) {
        attempt_end(ex->attempt);
        take_lead(ex);
        hedge->result = HEDGE_WON;
        count(ex, UPSTREAM_HEDGE_WON);
    } else {
        give_up(ex, hedge->rival);
    }
    return false;
}

const char *hedge_text(const struct exchange *ex)
{
    if (!ex->hedge || ex->hedge->result == HEDGE_NONE)
        return NULL;
    return ex->hedge->result == HEDGE_WON ? "won" : "lost";
}
