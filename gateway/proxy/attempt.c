#include "proxy/attempt_codec.h"

#include "http/rules.h"
#include "proxy/exchange_chain.h"
#include "proxy/grpc.h"
#include "proxy/proxying.h"
#include "proxy/retry.h"
#include "proxy/worker.h"
#include "upstream/outlier.h"

enum { INTERIM_MAX = 100 /* 1xx heads before the final one */ };

/* -- ends ------------------------------------------------------------- */

void attempt_end(struct attempt *attempt)
{
    bool held = attempt_is_held(attempt);
    bool unused = attempt->state == ATTEMPT_CONNECTING; /* the next one may have it */
    bool ended = unused || (attempt->whole && attempt->write_over);

    if (attempt->told) /* nobody has said why: it is not wanted any more */
        exchange_chain_attempt_done(attempt->ex, attempt, 0, REASON_NONE, false);
    if (held) {
        attempt->leg.ops->end(&attempt->leg, ended ? LEG_KEEP : LEG_CUT);
    } else {
        lease_discard(&attempt->lease);
    }
    attempt->state = ATTEMPT_NONE;
    attempt->whole = false;
}

bool attempt_is_over(const struct attempt *attempt)
{
    return attempt->state == ATTEMPT_NONE || attempt->whole;
}

bool attempt_is_queued(const struct attempt *attempt)
{
    return lease_is_queued(&attempt->lease);
}

static enum reason reason_of(enum endpoint_failure failure)
{
    static const enum reason reasons[] = {
        [ENDPOINT_CONNECT] = REASON_CONNECT_FAILED,
        [ENDPOINT_CONNECT_TIMEOUT] = REASON_CONNECT_TIMEOUT,
        [ENDPOINT_RESET] = REASON_UPSTREAM_RESET,
        [ENDPOINT_CLOSED] = REASON_UPSTREAM_CLOSED,
        [ENDPOINT_PROTOCOL] = REASON_UPSTREAM_PROTOCOL,
        [ENDPOINT_RESPONSE_TIMEOUT] = REASON_RESPONSE_TIMEOUT,
        [ENDPOINT_IDLE_TIMEOUT] = REASON_UPSTREAM_IDLE_TIMEOUT,
    };

    return reasons[failure];
}

/* The rules of balancing may go by how long an endpoint takes. */
static void note_latency(const struct attempt *attempt)
{
    uint64_t now = loop_now_us(attempt->ex->worker->loop);

    if (attempt->sent_us > 0)
        endpoint_note_latency(attempt->lease.endpoint, now - attempt->sent_us);
}

void attempt_fail(struct attempt *attempt, enum endpoint_failure failure, enum attempt_loss loss,
                  const char *detail)
{
    struct endpoint_counters *counters = attempt->lease.endpoint->counters;
    bool noticed = loss != ATTEMPT_STALE && loss != ATTEMPT_REFUSED;

    if (failure == ENDPOINT_RESPONSE_TIMEOUT)
        note_latency(attempt);
    if (loss != ATTEMPT_STALE)
        lease_mark_tried(&attempt->lease);
    if (noticed)
        endpoint_note_outcome(attempt->lease.endpoint, OUTCOME_LOCAL);
    attempt->leg.ops->end(&attempt->leg, LEG_CUT);
    attempt->state = ATTEMPT_NONE;
    /*
     * That a kept connection had ended, or was about to, says nothing about the endpoint, if nobody
     * noticed.
     */
    if (!exchange_on_attempt_failed(attempt->ex, attempt, reason_of(failure), detail, loss) ||
        noticed)
        counter_add(&counters->failures[failure], 1);
}

void attempt_on_no_room(struct attempt *attempt)
{
    attempt_fail(attempt, ENDPOINT_CLOSED, ATTEMPT_REFUSED, "the endpoint takes no more streams");
}

/* -- getting a connection ----------------------------------------------- */

static void on_ready(struct lease *lease, enum err err);

void attempt_init(struct attempt *attempt, struct exchange *ex)
{
    attempt->leg.ops = &attempt_h1_ops;
    attempt->ex = ex;
    attempt->state = ATTEMPT_NONE;
    attempt->whole = false;
    attempt->reset_code = 0;
    attempt->told = NULL;
    attempt->request = NULL;
    lease_init(&attempt->lease, &attempt_h1_conn_ops, on_ready);
    attempt->lease.streams = &attempt_h2_stream_ops;
}

static enum reason reason_of_lease(const struct lease *lease, enum err err)
{
    if (lease->dialled)
        return err == ERR_TIMEOUT ? REASON_CONNECT_TIMEOUT : REASON_CONNECT_FAILED;
    if (err == ERR_LIMIT)
        return REASON_UPSTREAM_FULL;
    if (err == ERR_TIMEOUT)
        return REASON_QUEUE_TIMEOUT;
    if (err == ERR_MISSING)
        return REASON_NO_ENDPOINT;
    return err == ERR_MEMORY ? REASON_OVERLOAD : REASON_CONNECT_FAILED;
}

/*
 * Content that is sent cannot be sent again, and what is not idempotent must not be: look before
 * using a kept connection.
 */
static bool must_look(const struct exchange *ex)
{
    return request_has_content(&ex->request) || !method_is_idempotent(ex->request.method);
}

/* The lease holds a connection now: OK when it stands, ERR_AGAIN while it is being dialled. */
static enum err hold(struct attempt *attempt)
{
    struct exchange *ex = attempt->ex;

    attempt->n_interim = 0;
    attempt->sent_us = 0;
    attempt->whole = attempt->write_over = attempt->started = false;
    attempt->judged_later = false;
    attempt->reset_code = 0;
    if (attempt->lease.mux) {
        attempt_h2_begin(attempt);
    } else {
        attempt_h1_begin(attempt);
    }
    ex->tries++;
    if (attempt == ex->attempt) {
        exchange_note_leader(ex);
        if (ex->target->retry->per_try_ms > 0)
            retry_on_try(ex);
    }
    if (attempt->lease.connecting || (attempt->lease.mux && !attempt_h2_is_ready(attempt))) {
        attempt->state = ATTEMPT_CONNECTING;
        return ERR_AGAIN;
    }
    attempt->state = ATTEMPT_AWAITING;
    return OK;
}

/* The chosen endpoint could not even be dialled. */
static void cannot_dial(struct attempt *attempt, enum err err)
{
    bool late = attempt->lease.dialled && err == ERR_TIMEOUT;
    enum endpoint_failure failure = late ? ENDPOINT_CONNECT_TIMEOUT : ENDPOINT_CONNECT;

    attempt->ex->tries++;
    counter_add(&attempt->lease.endpoint->counters->failures[failure], 1);
    endpoint_note_outcome(attempt->lease.endpoint, OUTCOME_LOCAL);
    lease_mark_tried(&attempt->lease);
    if (attempt->ex->chain)
        exchange_chain_attempt_lost(attempt->ex, attempt);
}

/* The chosen endpoint could not be dialled: may another one be? */
static bool may_dial_on(struct attempt *attempt, enum reason reason)
{
    struct exchange *ex = attempt->ex;
    bool may = attempt == ex->attempt && retry_may_dial_on(ex);

    if (attempt == ex->attempt)
        ex->reason = reason;
    if (ex->chain)
        exchange_chain_attempt_done(ex, attempt, 0, reason, may);
    return may;
}

enum err attempt_start(struct attempt *attempt, struct upstream *upstream, enum reason *reason)
{
    const struct upstream_conf *conf =
        attempt->ex->view->snapshot->upstreams[attempt->ex->target->index].conf;

    if (conf->proxying.version != PROXYING_NONE)
        attempt->lease.preface = proxying_header(attempt->ex, &conf->proxying);
    for (;;) {
        enum err err = upstream_lease(upstream, &attempt->lease);

        if (err == ERR_AGAIN) {
            attempt->state = ATTEMPT_WAITING;
            return err;
        }
        if (err == OK) {
            if (!attempt->lease.reused || !attempt->lease.conn || !must_look(attempt->ex) ||
                !attempt_h1_is_stale(attempt))
                return hold(attempt);
            lease_discard(&attempt->lease);
            continue; /* each turn takes one from the pool, so this ends */
        }
        *reason = reason_of_lease(&attempt->lease, err);
        if (err == ERR_LIMIT || err == ERR_MISSING || err == ERR_MEMORY)
            return err;
        cannot_dial(attempt, err);
        if (!may_dial_on(attempt, *reason))
            return err;
    }
}

static void on_ready(struct lease *lease, enum err err)
{
    struct attempt *attempt = list_entry(lease, struct attempt, lease);
    struct exchange *ex = attempt->ex;
    enum reason reason = err ? reason_of_lease(lease, err) : REASON_NONE;

    exchange_enter(ex);
    attempt->state = ATTEMPT_NONE;
    if (!lease->dialled &&
        (err == ERR_TIMEOUT || err == ERR_LIMIT || err == ERR_MISSING || err == ERR_MEMORY)) {
        exchange_refuse(ex, reason, NULL);
    } else if (err) {
        cannot_dial(attempt, err);
        exchange_on_attempt_failed(ex, attempt, reason, NULL, ATTEMPT_UNSENT);
    } else {
        err = hold(attempt);
        if ((!ex->chain || exchange_chain_attempt(ex, attempt)) && err == OK)
            exchange_on_connected(ex, attempt);
    }
    exchange_leave(ex);
}

void attempt_on_connected(struct attempt *attempt)
{
    attempt->state = ATTEMPT_AWAITING;
    exchange_on_connected(attempt->ex, attempt);
}

/* -- what comes back --------------------------------------------------------- */

/*
 * How good an answer is: of a call, its own status decides, which comes with the trailers or (then
 * there is nothing else) with the head.
 */
static void note_answer(struct attempt *attempt, unsigned http, const struct fields *fields)
{
    enum grpc_status status;

    if (fields && grpc_status_find(fields, &status) == OK)
        http = grpc_status_http(status);
    endpoint_note_outcome(attempt->lease.endpoint, outcome_of_status(http));
}

static bool is_judged_later(const struct attempt *attempt, const struct response *response)
{
    unsigned at = 0;

    return response->status == 200 && !fields_next(&response->fields, SPAN("grpc-status"), &at) &&
           attempt->ex->is_grpc;
}

static void begin_response(struct attempt *attempt, struct response *response)
{
    note_latency(attempt);
    if (!attempt->ex->is_grpc) {
        endpoint_note_outcome(attempt->lease.endpoint, outcome_of_status(response->status));
    } else if (!is_judged_later(attempt, response)) {
        note_answer(attempt, response->status, &response->fields);
    } else {
        attempt->judged_later = true;
    }
    attempt->state = ATTEMPT_RESPONDING;
    exchange_on_response(attempt->ex, attempt, response);
}

/* Its endpoint has left, and the time that tunnels have after that is over. */
static void on_end_tunnel(struct lease *lease)
{
    struct exchange *ex = list_entry(lease, struct attempt, lease)->ex;

    exchange_enter(ex);
    exchange_refuse(ex, REASON_TUNNEL_DRAINED, NULL);
    exchange_leave(ex);
}

void attempt_on_tunnel(struct attempt *attempt, struct response *response)
{
    attempt->write_over = false;
    rules_drop_hop_by_hop(&response->fields);
    attempt->state = ATTEMPT_TUNNEL;
    lease_note_tunnel(&attempt->lease, on_end_tunnel);
    exchange_on_tunnel(attempt->ex, response);
}

static void begin_interim(struct attempt *attempt, struct response *response)
{
    if (++attempt->n_interim > INTERIM_MAX) {
        attempt_fail(attempt, ENDPOINT_PROTOCOL, ATTEMPT_SENT, "too many interim responses");
        return;
    }
    rules_drop_hop_by_hop(&response->fields);
    exchange_on_interim(attempt->ex, response);
}

void attempt_on_head(struct attempt *attempt, struct response *response)
{
    const struct exchange *ex = attempt->ex;

    if (response->status == 101 && upgrade_is_open(ex, response)) {
        attempt_on_tunnel(attempt, response);
    } else if (response->status == 101) {
        attempt_fail(attempt, ENDPOINT_PROTOCOL, ATTEMPT_SENT, "101 without being asked to switch");
    } else if (response->status / 100 == 2 && ex->request.protocol.len > 0) {
        /* The client would take it for a tunnel (RFC 8441 4). */
        attempt_fail(attempt, ENDPOINT_PROTOCOL, ATTEMPT_SENT, "no switch to the protocol wanted");
    } else if (response->status < 200) {
        begin_interim(attempt, response);
    } else {
        rules_drop_hop_by_hop(&response->fields);
        begin_response(attempt, response);
    }
}

void attempt_on_end(struct attempt *attempt, const struct fields *trailers)
{
    attempt->whole = true;
    if (attempt->judged_later)
        note_answer(attempt, 200, trailers);
    exchange_on_response_end(attempt->ex, trailers);
}

/* -- time ----------------------------------------------------------------------- */

void attempt_expire(struct attempt *attempt)
{
    enum endpoint_failure failure = ENDPOINT_IDLE_TIMEOUT;
    enum attempt_loss loss = ATTEMPT_SENT;

    if (attempt->state == ATTEMPT_CONNECTING) {
        failure = ENDPOINT_CONNECT_TIMEOUT;
        loss = ATTEMPT_UNSENT;
    } else if (attempt->state == ATTEMPT_AWAITING && attempt->write_over) {
        failure = ENDPOINT_RESPONSE_TIMEOUT;
    }
    attempt_fail(attempt, failure, loss, NULL);
}

void attempt_on_silence(struct attempt *attempt)
{
    struct exchange *ex = attempt->ex;

    if (ex->up_held)
        return; /* it is the client who is slow, and has a deadline of its own */
    if (attempt->state == ATTEMPT_AWAITING && !attempt->write_over && !ex->down_held)
        return; /* the same */
    attempt_expire(attempt);
}
