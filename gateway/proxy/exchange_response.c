/*
 * exchange_response.c - the second half of the story: what arrives from upstream goes downstream.
 *
 * The states and who changes them are drawn in exchange.c.
 */
#include "proxy/exchange.h"

#include "base/log.h"
#include "proxy/affinity.h"
#include "proxy/exchange_chain.h"
#include "proxy/grpc.h"
#include "proxy/hedge.h"
#include "proxy/retry.h"
#include "proxy/worker.h"

/* How content goes downstream, given how it comes. */
static void frame(const struct exchange *ex, const struct response *response, struct leg_head *head)
{
    head->framing = response->framing;
    head->body_bytes = response->body_bytes;
    head->keep_length = BODY_UNKNOWN;
    if (response->status == 304 || ex->request.method == METHOD_HEAD)
        head->keep_length = response->body_bytes;
    if (response->framing == FRAMING_CHUNKED || response->framing == FRAMING_CLOSE)
        head->framing = ex->request.minor >= 1 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

void exchange_on_interim(struct exchange *ex, const struct response *response)
{
    struct leg *down = ex->from.leg;
    struct leg_head head = {.response = response,
                            .framing = FRAMING_NONE,
                            .body_bytes = BODY_UNKNOWN,
                            .keep_length = BODY_UNKNOWN};

    if (ex->state != EX_FORWARD || ex->request.minor == 0)
        return;
    /* A client that does not take what it was sent is not sent more. */
    if (down->ops->flush(down) != OK)
        return;
    /* An interim head that does not fit is left out: the final one tells all. */
    if (down->ops->send_head(down, &head) == OK)
        log_debug("interim response passed on", F_UINT("status", response->status));
}

/*
 * The fields of a response are borrowed from what was read, and gone with it. The access log may
 * want some at the end, so they are copied, or forgotten.
 */
static void keep_fields(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    struct field_line *kept = NULL;
    unsigned n = fields->n;

    if (ex->view->snapshot->logs_response)
        kept = arena_try_raw(&ex->arena, n * sizeof(*kept));
    fields->n = 0;
    for (unsigned i = 0; kept && i < n; i++) {
        struct sluice_span name = arena_copy(&ex->arena, field_name(&fields->line[i]));
        struct sluice_span value = arena_copy(&ex->arena, field_value(&fields->line[i]));

        kept[i] = fields->line[i];
        kept[i].name = name.ptr;
        kept[i].value = value.ptr;
        if (!name.ptr || !value.ptr)
            break;
        fields->n++;
    }
    fields->line = kept;
    fields->cap = fields->n;
}

void exchange_answer(struct exchange *ex, enum exchange_state next)
{
    struct leg *down = ex->from.leg;
    struct leg_head head = {.response = &ex->response};
    enum err err = OK;

    if (!fields_find(&ex->response.fields, FIELD_DATE))
        err = fields_put(&ex->response.fields, FIELD_DATE, worker_date(ex->worker));
    if (err == OK)
        err = affinity_tell(ex, &ex->response.fields);
    if (err == OK && ex->route->response_edits.n > 0)
        err = route_edit_fields(&ex->route->response_edits, &ex->response.fields);
    frame(ex, &ex->response, &head);
    if (err == OK)
        err = down->ops->send_head(down, &head);
    if (err) {
        exchange_refuse(ex, REASON_INTERNAL, "the response head cannot be sent");
        return;
    }
    if (ex->is_grpc)
        grpc_note_head(ex);
    keep_fields(ex);
    ex->head_sent = true;
    ex->reason = REASON_COMPLETED;
    ex->state = next;
}

static struct route_counters *route_counters(const struct exchange *ex)
{
    return tally_slot(ex->view->snapshot->route_tally[ex->route->index], ex->worker->index);
}

/* Tunnels that were opened together, after a restart perhaps, are not all cut together. */
static uint64_t end_of_age(struct exchange *ex)
{
    uint64_t max_ms = ex->times.tunnel_max_ms;
    uint64_t jitter_ms = max_ms / 10;

    if (max_ms == 0)
        return 0;
    if (jitter_ms > 0)
        max_ms -= rng_next(&ex->worker->rng) % jitter_ms;
    return ex->answered_us + max_ms * 1000;
}

/* A tunnel begins with its head. */
static void enter_tunnel(struct exchange *ex)
{
    struct exchange_tunnel *tunnel = arena_try(&ex->arena, sizeof(*tunnel));

    if (!tunnel) {
        exchange_refuse(ex, REASON_OVERLOAD, NULL);
        return;
    }
    ex->tunnel = tunnel;
    tunnel->ex = ex;
    tunnel->ends_us = end_of_age(ex);
    counter_add(&ex->worker->counters.tunnels, 1);
    counter_add(&route_counters(ex)->tunnels, 1);
    exchange_note_activity(ex);
    soon_init(&tunnel->let_go, exchange_let_go);
    loop_soon(ex->worker->loop, &tunnel->let_go);
}

void exchange_leave_tunnel(struct exchange *ex)
{
    soon_cancel(&ex->tunnel->let_go);
    counter_sub(&ex->worker->counters.tunnels, 1);
    counter_sub(&route_counters(ex)->tunnels, 1);
}

bool exchange_return(struct exchange *ex)
{
    enum reason reason = REASON_PLUGIN_FAILED;
    enum err err = exchange_chain_return(ex, &reason);

    if (err == ERR_AGAIN)
        return false;
    if (err) {
        exchange_refuse(ex, reason, NULL);
        return true;
    }
    if (!exchange_chain_frame(ex))
        return ex->state != EX_RETURN;
    exchange_answer(ex, ex->returned);
    if (ex->state == EX_TUNNEL)
        enter_tunnel(ex);
    if (ex->state == EX_ANSWER && ex->body.ptr)
        exchange_pass_response(ex, ex->body, true, NULL);
    if (ex->up_held && ex->attempt && attempt_is_held(ex->attempt)) {
        ex->up_held = false;
        ex->attempt->leg.ops->release(&ex->attempt->leg);
    }
    return true;
}

/* The plugins look at it first; while one of them waits, nothing more of it is read. */
static void go_back(struct exchange *ex, enum exchange_state next)
{
    ex->returned = next;
    ex->state = EX_RETURN;
    exchange_chain_attempt_done(ex, ex->attempt, ex->response.status, REASON_NONE, false);
    if (exchange_return(ex))
        return;
    if (!exchange_chain_collects(ex)) {
        ex->up_held = true;
        ex->attempt->leg.ops->hold(&ex->attempt->leg);
    }
    if (exchange_chain_keep(ex))
        exchange_refuse(ex, REASON_OVERLOAD, NULL);
}

/* Pass a final head on; the exchange is then in the state that follows. */
static void answer(struct exchange *ex, const struct response *response, enum exchange_state next)
{
    ex->response = *response;
    ex->response.fields.arena = &ex->arena;
    ex->answered_us = loop_now_us(ex->worker->loop);
    if (ex->chain) {
        go_back(ex, next);
        return;
    }
    exchange_answer(ex, next);
    if (ex->state == EX_TUNNEL)
        enter_tunnel(ex);
}

/* Is another attempt waited for instead? Apart from the way that good answers take. */
__attribute__((noinline)) static bool is_passed_over(struct exchange *ex, struct attempt *attempt,
                                                     const struct response *response)
{
    if (ex->hedge && hedge_on_response(ex, attempt, response))
        return true;
    return ex->state == EX_FORWARD && retry_on_response(ex, response);
}

void exchange_on_response(struct exchange *ex, struct attempt *attempt,
                          const struct response *response)
{
    if ((ex->hedge || response->status >= RETRY_STATUS_FIRST || ex->is_grpc) &&
        is_passed_over(ex, attempt, response))
        return;
    if (ex->state == EX_FORWARD)
        answer(ex, response, EX_ANSWER);
}

void exchange_on_tunnel(struct exchange *ex, const struct response *response)
{
    struct response granted = *response;

    if (ex->state != EX_FORWARD)
        return;
    granted.upgrade = ex->request.upgrade;
    ex->request_done = false; /* the client's side is open again */
    ex->body_max = 0;
    answer(ex, &granted, EX_TUNNEL);
}

void exchange_pass_response(struct exchange *ex, struct sluice_span piece, bool last,
                            const struct fields *trailers)
{
    struct leg *down = ex->from.leg;

    ex->response_bytes += (int64_t)piece.len;
    if (ex->is_grpc)
        grpc_frames_pass(&ex->grpc_sent, piece);
    if (piece.len > 0)
        down->ops->send_body(down, piece);
    if (!last)
        return;
    if (ex->is_grpc)
        grpc_note(ex, trailers);
    down->ops->send_end(down, trailers);
    ex->response_done = true;
    if (ex->state == EX_ANSWER)
        ex->state = EX_DRAIN;
}

void exchange_on_response_body(struct exchange *ex, struct sluice_span piece)
{
    if (ex->state == EX_PAUSE)
        retry_drop(ex, piece.len);
    if (ex->chain && (ex->state == EX_ANSWER || ex->state == EX_RETURN) &&
        exchange_chain_sees(ex, CHAIN_RESPONSE)) {
        exchange_chain_content(ex, CHAIN_RESPONSE, piece, false, NULL);
        return;
    }
    if (ex->state != EX_ANSWER && ex->state != EX_TUNNEL)
        return;
    exchange_pass_response(ex, piece, false, NULL);
    exchange_note_activity(ex);
}

struct conn *exchange_bare_client(const struct exchange *ex, uint64_t bytes)
{
    struct leg *down = ex->from.leg;

    if (bytes < ex->view->snapshot->splice.min_bytes || ex->state != EX_ANSWER || ex->is_grpc ||
        (ex->chain && exchange_chain_sees(ex, CHAIN_RESPONSE)))
        return NULL;
    return down->ops->bare ? down->ops->bare(down) : NULL;
}

void exchange_on_response_moved(struct exchange *ex, size_t bytes, bool are_first)
{
    struct worker_counters *counters = &ex->worker->counters;

    ex->response_bytes += (int64_t)bytes;
    counter_add(&counters->spliced_bytes, bytes);
    if (are_first)
        counter_add(&counters->spliced_bodies, 1);
}

void exchange_on_response_end(struct exchange *ex, const struct fields *trailers)
{
    if (ex->chain && (ex->state == EX_ANSWER || ex->state == EX_RETURN)) {
        exchange_chain_content(ex, CHAIN_RESPONSE, SPAN(""), true, trailers);
        return;
    }
    if (ex->state != EX_ANSWER && ex->state != EX_TUNNEL)
        return;
    exchange_note_activity(ex);
    exchange_pass_response(ex, SPAN(""), true, trailers);
}
