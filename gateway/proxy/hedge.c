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

/* It runs no more. */
static void drop(struct hedge *hedge, unsigned i)
{
    hedge->rival[i].attempt = NULL;
    hedge->n_running--;
}

static void give_up(struct exchange *ex, unsigned i)
{
    attempt_end(ex->hedge->rival[i].attempt);
    drop(ex->hedge, i);
    if (ex->hedge->result != HEDGE_WON)
        ex->hedge->result = HEDGE_LOST;
    count(ex, UPSTREAM_HEDGE_LOST);
}

static void give_up_all(struct exchange *ex)
{
    for (unsigned i = 0; i < ex->hedge->n_started; i++) {
        if (ex->hedge->rival[i].attempt)
            give_up(ex, i);
    }
}

static void send_to_rival(struct exchange *ex, unsigned i)
{
    struct attempt *rival = ex->hedge->rival[i].attempt;

    if (exchange_send_request(ex, rival) != OK) {
        give_up(ex, i);
        return;
    }
    ex->hedge->rival[i].is_sent = true;
    /* What cannot be sent at once goes when it can; that it cannot be at all, reading tells. */
    (void)rival->leg.ops->flush(&rival->leg);
}

/* Is the first try still waiting for its answer, and may there be another beside it? */
static bool may_start(const struct exchange *ex)
{
    return (ex->state == EX_LEASE || ex->state == EX_FORWARD) &&
           ex->tries <= ex->hedge->n_started + 1 && ex->request.upgrade.len == 0;
}

/* Whom the others are asking is not asked again. */
static void mark_taken(struct exchange *ex, struct lease *lease)
{
    const struct lease *leads = &ex->attempt->lease;

    if (leads->endpoint) {
        lease->endpoint = leads->endpoint;
        lease_mark_tried(lease);
    }
    for (unsigned i = 0; i < ex->hedge->n_started; i++) {
        const struct attempt *rival = ex->hedge->rival[i].attempt;

        if (rival && rival->lease.endpoint) {
            lease->endpoint = rival->lease.endpoint;
            lease_mark_tried(lease);
        }
    }
    lease->endpoint = NULL;
}

static struct attempt *rival_new(struct exchange *ex)
{
    const struct lease *lease = &ex->attempt->lease;
    struct attempt *rival = arena_try_raw(&ex->arena, sizeof(*rival));

    if (!rival)
        return NULL;
    attempt_init(rival, ex);
    rival->lease.selection = lease->selection;
    rival->lease.key = lease->key;
    rival->lease.has_key = lease->has_key;
    mark_taken(ex, &rival->lease);
    return rival;
}

static void start(struct exchange *ex)
{
    struct hedge *hedge = ex->hedge;
    struct attempt *rival = rival_new(ex);
    unsigned i = hedge->n_started;
    enum reason reason;
    enum err err;
    bool is_refused;

    if (!rival || !upstream_has_untried(upstream_of(ex), &rival->lease))
        return;
    if (!upstream_take_retry(upstream_of(ex))) {
        count(ex, UPSTREAM_HEDGE_REFUSED);
        return;
    }
    hedge->rival[i].attempt = rival;
    hedge->rival[i].is_sent = false;
    hedge->n_started++;
    hedge->n_running++;
    err = attempt_start(rival, upstream_of(ex), &reason);
    is_refused = ex->chain && attempt_is_held(rival) && !exchange_chain_attempt(ex, rival);
    if (is_refused || (err && err != ERR_AGAIN) || attempt_is_queued(rival)) {
        give_up(ex, i); /* a hedge is in nobody's way */
    } else if (err == OK) {
        send_to_rival(ex, i);
    }
    if (hedge->n_running > 0 && hedge->result != HEDGE_WON)
        hedge->result = HEDGE_RUNS;
}

static void arm(struct exchange *ex)
{
    const struct hedge_rule *rule = ex->target->hedge;
    uint64_t learnt_us =
        rule->percentile > 0 ? upstream_time_of(upstream_of(ex), rule->percentile) : 0;
    uint64_t ms = hedge_wait_ms(rule, learnt_us);

    if (ms > 0)
        alarm_arm(ex->worker->loop, &ex->hedge->after, ms);
}

static void on_after(struct alarm *alarm)
{
    struct hedge *hedge = list_entry(alarm, struct hedge, after);
    struct exchange *ex = hedge->ex;
    unsigned n = hedge->n_started;

    exchange_enter(ex);
    if (may_start(ex))
        start(ex);
    if (hedge->n_started > n && hedge->n_started < ex->target->hedge->max)
        arm(ex);
    exchange_leave(ex);
}

void hedge_begin(struct exchange *ex)
{
    if (!ex->request_done || !method_is_idempotent(ex->request.method))
        return;
    ex->hedge = arena_try(&ex->arena, sizeof(*ex->hedge));
    if (!ex->hedge)
        return;
    ex->hedge->ex = ex;
    ex->hedge->begun_us = loop_now_us(ex->worker->loop);
    alarm_init(&ex->hedge->after, on_after);
    arm(ex);
}

/* -- ending -------------------------------------------------------------------- */

void hedge_end(struct exchange *ex)
{
    alarm_disarm(&ex->hedge->after);
    give_up_all(ex);
}

/* A rival leads from now on; the leader has ended. */
static void take_lead(struct exchange *ex, unsigned i)
{
    struct hedge *hedge = ex->hedge;

    ex->attempt = hedge->rival[i].attempt;
    drop(hedge, i);
    exchange_note_leader(ex);
    ex->state = hedge->rival[i].is_sent ? EX_FORWARD : EX_LEASE;
    hedge->result = HEDGE_WON;
    count(ex, UPSTREAM_HEDGE_WON);
}

/* Which of the rivals it is; HEDGE_MAX: none. */
static unsigned find(const struct hedge *hedge, const struct attempt *attempt)
{
    unsigned i = 0;

    while (i < HEDGE_MAX && (i >= hedge->n_started || hedge->rival[i].attempt != attempt))
        i++;
    return i;
}

void hedge_on_connected(struct exchange *ex, const struct attempt *attempt)
{
    send_to_rival(ex, find(ex->hedge, attempt));
}

bool hedge_on_failure(struct exchange *ex, const struct attempt *attempt)
{
    struct hedge *hedge = ex->hedge;
    unsigned i;

    if (!hedge || hedge->n_running == 0)
        return false;
    i = find(hedge, attempt);
    if (i < HEDGE_MAX) {
        give_up(ex, i);
        return true;
    }
    for (i = 0; !hedge->rival[i].attempt;)
        i++;
    attempt_end(ex->attempt);
    take_lead(ex, i);
    return true;
}

bool hedge_on_response(struct exchange *ex, struct attempt *attempt,
                       const struct response *response)
{
    struct hedge *hedge = ex->hedge;
    unsigned i;

    if (!hedge)
        return false;
    if (hedge->n_running > 0 && retry_names_status(ex->target->retry, response->status)) {
        if (ex->chain)
            exchange_chain_attempt_done(ex, attempt, response->status, REASON_NONE, false);
        return hedge_on_failure(ex, attempt);
    }
    alarm_disarm(&hedge->after);
    upstream_note_time(upstream_of(ex), loop_now_us(ex->worker->loop) - hedge->begun_us);
    if (hedge->n_running == 0)
        return false;
    i = find(hedge, attempt);
    if (i < HEDGE_MAX) {
        attempt_end(ex->attempt);
        take_lead(ex, i);
    }
    give_up_all(ex);
    return false;
}

const char *hedge_text(const struct exchange *ex)
{
    if (!ex->hedge || ex->hedge->result == HEDGE_NONE)
        return NULL;
    return ex->hedge->result == HEDGE_WON ? "won" : "lost";
}
