#include "proxy/retry.h"

#include "http/grpc_status.h"
#include "http/rules.h"
#include "proxy/exchange_chain.h"
#include "proxy/worker.h"

#include <string.h>

enum {
    DROP_MAX_BYTES = 64 * 1024, /* of a failed response, to keep its connection */
    FIRST_ROOM = 4096,          /* for content of unknown length */
};

/* -- life ------------------------------------------------------------------ */

static const struct retry_rule *rule_of(const struct exchange *ex)
{
    return ex->target->retry;
}

static struct upstream *upstream_of(const struct exchange *ex)
{
    return ex->view->upstreams[ex->target->index];
}

static void on_pause(struct alarm *alarm)
{
    struct retry *retry = list_entry(alarm, struct retry, pause);
    struct exchange *ex = retry->ex;

    exchange_enter(ex);
    if (ex->state == EX_PAUSE) {
        attempt_end(ex->attempt);
        ex->state = EX_AIM;
    }
    exchange_leave(ex);
}

static void on_try(struct alarm *alarm)
{
    struct retry *retry = list_entry(alarm, struct retry, try);
    struct exchange *ex = retry->ex;

    /* It is the client who is slow, and has a deadline of its own. */
    if (ex->state == EX_FORWARD && !ex->request_done) {
        alarm_arm(ex->worker->loop, &retry->try, rule_of(ex)->per_try_ms);
        return;
    }
    exchange_enter(ex);
    if ((ex->state == EX_LEASE || ex->state == EX_FORWARD) && attempt_is_held(ex->attempt))
        attempt_expire(ex->attempt);
    exchange_leave(ex);
}

/* NULL when out of memory: then there is nothing to be kept and nothing to be waited for. */
static struct retry *retry_of(struct exchange *ex)
{
    if (ex->retry)
        return ex->retry;
    ex->retry = arena_try(&ex->arena, sizeof(*ex->retry));
    if (ex->retry) {
        ex->retry->ex = ex;
        alarm_init(&ex->retry->pause, on_pause);
        alarm_init(&ex->retry->try, on_try);
    }
    return ex->retry;
}

/* May an endpoint say that it has surely not processed what it was sent? */
static bool may_be_refused(const struct exchange *ex)
{
    return rule_of(ex)->attempts > 0 && upstream_of(ex)->shares;
}

void retry_begin(struct exchange *ex)
{
    const struct retry_rule *rule = rule_of(ex);
    struct retry *retry;

    /* What was refused may be sent again whatever the method. */
    if ((!retry_may_resend(rule, ex->request.method) && !may_be_refused(ex)) ||
        ex->request.body_bytes > (int64_t)rule->body_bytes || rule->body_bytes == 0)
        return;
    retry = retry_of(ex);
    if (retry)
        retry->keeps = true;
}

void retry_end(struct exchange *ex)
{
    alarm_disarm(&ex->retry->pause);
    alarm_disarm(&ex->retry->try);
}

void retry_on_try(struct exchange *ex)
{
    if (retry_of(ex))
        alarm_arm(ex->worker->loop, &ex->retry->try, rule_of(ex)->per_try_ms);
}

/* -- content ----------------------------------------------------------------- */

/* Room for so much content; false when that is more than the rule keeps, or memory is out. */
static bool make_room(struct exchange *ex, struct retry *retry, size_t bytes)
{
    size_t max = rule_of(ex)->body_bytes;
    size_t room = retry->content_room ? retry->content_room : FIRST_ROOM;
    char *content;

    if (bytes > max)
        return false;
    if (bytes <= retry->content_room)
        return true;
    while (room < bytes) {
        room *= 2;
    }
    if (ex->request.body_bytes > 0)
        room = (size_t)ex->request.body_bytes;
    content = arena_try_raw(&ex->arena, room);
    if (!content)
        return false;
    if (retry->content_bytes > 0)
        memcpy(content, retry->content, retry->content_bytes);
    retry->content = content;
    retry->content_room = room;
    return true;
}

void retry_keep(struct exchange *ex, struct sluice_span piece)
{
    struct retry *retry = ex->retry;

    if (!retry || !retry->keeps)
        return;
    retry->keeps = make_room(ex, retry, retry->content_bytes + piece.len);
    if (!retry->keeps)
        return;
    memcpy(retry->content + retry->content_bytes, piece.ptr, piece.len);
    retry->content_bytes += piece.len;
}

void retry_keep_end(struct exchange *ex, const struct fields *trailers)
{
    if (ex->retry && trailers && trailers->n > 0)
        ex->retry->keeps = false;
}

void retry_resend(struct exchange *ex)
{
    struct leg *up = &ex->attempt->leg;

    if (ex->retry && ex->retry->content_bytes > 0)
        up->ops->send_body(up, span_make(ex->retry->content, ex->retry->content_bytes));
}

static bool has_whole_content(const struct exchange *ex)
{
    return ex->request_bytes == 0 || ex->content.ptr || (ex->retry && ex->retry->keeps);
}

/* -- deciding ------------------------------------------------------------------ */

static void count_retry(const struct exchange *ex, unsigned cause)
{
    counter_add(&upstream_of(ex)->counters->retries[cause], 1);
}

static void count_refusal(const struct exchange *ex, enum upstream_refusal refusal)
{
    counter_add(&upstream_of(ex)->counters->retries_refused[refusal], 1);
}

static void note_end(struct exchange *ex, unsigned end)
{
    struct retry *retry = retry_of(ex);

    if (retry && retry->n_ends < LEASE_TRIES)
        retry->ends[retry->n_ends++] = (uint16_t)end;
}

static bool decide(const struct exchange *ex, enum retry_cause cause, unsigned status, bool unsent)
{
    const struct retry_case it = {.cause = cause,
                                  .status = status,
                                  .method = ex->request.method,
                                  .retries = ex->tries > 0 ? ex->tries - 1 : 0,
                                  .unsent = unsent,
                                  .whole = has_whole_content(ex)};

    switch (retry_decide(rule_of(ex), &it)) {
    case RETRY_GO:
        return true;
    case RETRY_NOT_NAMED:
        break;
    case RETRY_NO_ATTEMPT_LEFT:
        count_refusal(ex, UPSTREAM_REFUSED_ATTEMPTS);
        break;
    case RETRY_NOT_THE_METHOD:
        count_refusal(ex, UPSTREAM_REFUSED_METHOD);
        break;
    case RETRY_CONTENT_GONE:
        count_refusal(ex, UPSTREAM_REFUSED_CONTENT);
        break;
    }
    return false;
}

/* The client waits with the rest of its content until somebody is there to take it. */
static void hold_client(struct exchange *ex)
{
    if (ex->request_done || ex->down_held)
        return;
    ex->down_held = true;
    ex->from.leg->ops->hold(ex->from.leg);
}

/* Another endpoint first, after a pause. */
static void begin_pause(struct exchange *ex, uint64_t ms)
{
    struct retry *retry = retry_of(ex);

    ex->attempt->lease.again = true;
    hold_client(ex);
    ex->state = EX_PAUSE;
    if (!retry)
        return;
    retry->dropped = 0;
    alarm_disarm(&retry->try);
    if (ms > 0)
        alarm_arm(ex->worker->loop, &retry->pause, ms);
}

static uint64_t pause_of(struct exchange *ex)
{
    unsigned n = ex->retry ? ex->retry->n_ends - ex->retry->n_settled : 0;

    return retry_pause_ms(&rule_of(ex)->backoff, n, rng_next(&ex->worker->rng));
}

/* A kept connection had ended, and nobody noticed: that does not count as a try. */
static bool repeat_stale(struct exchange *ex)
{
    if (ex->stale_retried || !method_is_idempotent(ex->request.method) || !has_whole_content(ex))
        return false;
    ex->stale_retried = true;
    count_retry(ex, UPSTREAM_RETRY_STALE);
    ex->attempt->lease.fresh = true; /* its neighbours in the pool may be as old */
    ex->tries--;
    hold_client(ex);
    ex->state = EX_AIM;
    return true;
}

/* The endpoint has surely not processed it: nor does that count as a try, once. */
static bool repeat_refused(struct exchange *ex)
{
    if (ex->stale_retried || !has_whole_content(ex))
        return false;
    ex->stale_retried = true;
    count_retry(ex, RETRY_REFUSED);
    ex->attempt->lease.again = true;
    ex->tries--;
    hold_client(ex);
    ex->state = EX_AIM;
    return true;
}

/* False: nothing that another try could change. */
static bool cause_of(enum reason reason, enum retry_cause *cause)
{
    switch ((int)reason) {
    case REASON_CONNECT_FAILED:
    case REASON_CONNECT_TIMEOUT:
        *cause = RETRY_CONNECT;
        return true;
    case REASON_UPSTREAM_RESET:
    case REASON_UPSTREAM_CLOSED:
        *cause = RETRY_RESET;
        return true;
    case REASON_RESPONSE_TIMEOUT:
    case REASON_UPSTREAM_IDLE_TIMEOUT:
        *cause = RETRY_TIMEOUT;
        return true;
    default:
        return false;
    }
}

/* What could not be dialled is not tried again: is anybody left? */
static bool has_another(const struct exchange *ex)
{
    return upstream_has_untried(upstream_of(ex), &ex->attempt->lease);
}

bool retry_on_failure(struct exchange *ex, enum reason reason, enum attempt_loss loss)
{
    enum retry_cause cause;

    if (ex->head_sent)
        return false;
    if (loss == ATTEMPT_STALE && repeat_stale(ex))
        return true;
    if (loss == ATTEMPT_REFUSED && repeat_refused(ex))
        return true;
    if (!cause_of(reason, &cause))
        return false;
    if (loss == ATTEMPT_REFUSED)
        cause = RETRY_REFUSED;
    if (!decide(ex, cause, 0, loss == ATTEMPT_UNSENT))
        return false;
    if (loss == ATTEMPT_UNSENT && !has_another(ex))
        return false;
    if (loss == ATTEMPT_UNSENT) {
        hold_client(ex);
        ex->state = EX_AIM;
    } else if (upstream_take_retry(upstream_of(ex))) {
        begin_pause(ex, pause_of(ex));
    } else {
        return false;
    }
    note_end(ex, cause);
    count_retry(ex, cause);
    ex->reason = reason;
    return true;
}

/* Is this answer one that the rule could be about? */
static bool is_cause(const struct exchange *ex, const struct response *response,
                     enum retry_cause *cause, unsigned *status)
{
    enum grpc_status grpc;

    *cause = RETRY_STATUS;
    *status = response->status;
    if (retry_names_status(rule_of(ex), response->status))
        return true;
    if (!ex->is_grpc || rule_of(ex)->grpc_bits == 0 ||
        grpc_status_find(&response->fields, &grpc) != OK)
        return false;
    *cause = RETRY_GRPC;
    *status = grpc;
    return true;
}

/* How long another try may wait for its turn: till the end of the whole, or as for an answer. */
static uint64_t patience_ms(const struct exchange *ex)
{
    uint64_t now_us = loop_now_us(ex->worker->loop);

    if (ex->deadline_us > 0)
        return ex->deadline_us > now_us ? (ex->deadline_us - now_us) / 1000 : 0;
    return ex->times.response_ms > 0 ? ex->times.response_ms : UINT64_MAX;
}

/*
 * What the endpoint itself says of when to come again: *ms is changed by it; *settles: by that
 * alone. False: not within what this exchange would wait, or not at all.
 */
static bool hear_endpoint(const struct exchange *ex, const struct response *response, uint64_t *ms,
                          bool *settles)
{
    const struct sluice_span name = SPAN("grpc-retry-pushback-ms");
    const struct field_line *line;
    unsigned at = 0;

    line = ex->is_grpc ? fields_next(&response->fields, name, &at) : NULL;
    *settles = line != NULL;
    if (line) {
        return !fields_next(&response->fields, name, &at) &&
               retry_pushback_ms(field_value(line), patience_ms(ex), ms);
    }
    line = fields_find(&response->fields, FIELD_RETRY_AFTER);
    return !line || retry_after_ms(&rule_of(ex)->backoff, field_value(line), ms);
}

bool retry_on_response(struct exchange *ex, const struct response *response)
{
    enum retry_cause cause;
    unsigned status;
    bool settles;
    uint64_t ms;

    if (!is_cause(ex, response, &cause, &status) || !decide(ex, cause, status, false))
        return false;
    ms = pause_of(ex);
    if (!hear_endpoint(ex, response, &ms, &settles)) {
        count_refusal(ex, UPSTREAM_REFUSED_AFTER);
        return false;
    }
    if (!upstream_take_retry(upstream_of(ex)))
        return false;
    lease_mark_tried(&ex->attempt->lease);
    note_end(ex, cause == RETRY_STATUS ? status : cause);
    if (settles && ex->retry)
        ex->retry->n_settled = ex->retry->n_ends;
    count_retry(ex, cause);
    if (ex->chain)
        exchange_chain_attempt_done(ex, ex->attempt, response->status, REASON_NONE, true);
    if (!ex->request_done)
        attempt_end(ex->attempt);
    begin_pause(ex, ms);
    return true;
}

bool retry_may_dial_on(struct exchange *ex)
{
    if (!decide(ex, RETRY_CONNECT, 0, true) || !has_another(ex))
        return false;
    note_end(ex, RETRY_CONNECT);
    count_retry(ex, RETRY_CONNECT);
    return true;
}

/* -- between two tries ----------------------------------------------------------- */

void retry_drop(struct exchange *ex, size_t bytes)
{
    if (ex->retry)
        ex->retry->dropped += bytes;
}

bool retry_waits(struct exchange *ex)
{
    bool rings = ex->retry && alarm_is_armed(&ex->retry->pause);

    if (!rings || attempt_is_over(ex->attempt) || ex->retry->dropped > DROP_MAX_BYTES)
        attempt_end(ex->attempt);
    if (!rings)
        ex->state = EX_AIM;
    return rings;
}

/* -- telling ------------------------------------------------------------------------ */

struct sluice_span retry_reasons(const struct exchange *ex, char *room, size_t size)
{
    const struct retry *retry = ex->retry;
    struct text text;

    text_init_fixed(&text, room, size);
    for (unsigned i = 0; retry && i < retry->n_ends; i++) {
        if (i > 0)
            text_add_char(&text, ',');
        if (retry->ends[i] < RETRY_CAUSE_COUNT) {
            text_add(&text, span_of(retry_cause_name((enum retry_cause)retry->ends[i])));
        } else {
            text_add_number(&text, retry->ends[i]);
        }
    }
    return text_span(&text);
}
