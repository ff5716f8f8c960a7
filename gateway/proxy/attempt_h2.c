/*
 * attempt_h2.c - HTTP/2 on a stream of a connection that is shared (upstream/stream.h).
 *
 * What one read brings for one attempt comes as one batch, in which its exchange is entered: so
 * head and content of a small answer go downstream together.
 */
#include "proxy/attempt_codec.h"

#include "http/websocket.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"
#include "upstream/stream.h"

static struct attempt *attempt_of(struct lease *lease)
{
    return list_entry(lease, struct attempt, lease);
}

static struct attempt *attempt_of_leg(struct leg *leg)
{
    return list_entry(leg, struct attempt, leg);
}

/* A tunnel has no deadline but its exchange's. */
static void set_alarm(struct attempt *attempt, uint64_t ms)
{
    if (attempt->state != ATTEMPT_TUNNEL)
        alarm_arm(attempt->ex->worker->loop, &attempt->h2.alarm, ms);
}

/* -- sending -------------------------------------------------------------- */

static enum err open_stream(struct attempt *attempt, const struct leg_head *head)
{
    const struct request *request = head->request;
    const struct h2_request_head it = {
        .request = request,
        .scheme = attempt->lease.upstream->tls ? SPAN("https") : SPAN("http"),
        .authority = head->host,
        .target = head->target,
        .protocol = request->upgrade,
        .length = head->framing == FRAMING_LENGTH ? head->body_bytes : BODY_UNKNOWN,
        .last = request->upgrade.len == 0 &&
                (head->framing == FRAMING_NONE ||
                 (head->framing == FRAMING_LENGTH && head->body_bytes == 0)),
    };

    struct field_line *key = NULL;
    unsigned at = 0;
    enum err err;

    attempt->h2.ended = it.last;
    if (attempt->h2.connects)
        key = fields_next(&request->fields, SPAN("sec-websocket-key"), &at);
    if (key)
        key->mark |= FIELD_DROPPED; /* of HTTP/1 alone; we answer it ourselves */
    err = stream_open(&attempt->lease, &it);
    if (key)
        key->mark &= (uint8_t)~FIELD_DROPPED;
    return err;
}

static enum err send_head(struct leg *leg, const struct leg_head *head)
{
    struct attempt *attempt = attempt_of_leg(leg);
    enum err err = open_stream(attempt, head);

    attempt->sent_us = loop_now_us(attempt->ex->worker->loop);
    set_alarm(attempt, attempt->ex->times.idle_ms);
    return err;
}

static void send_body(struct leg *leg, struct sluice_span piece)
{
    struct attempt *attempt = attempt_of_leg(leg);

    if (piece.len > 0 && attempt->lease.stream) {
        h2_send_body(attempt->lease.stream, piece);
        /* The cork sends what is in it before those bytes go; what is not framed is copied. */
        (void)!h2_flush(attempt->lease.stream);
    }
    set_alarm(attempt, attempt->ex->times.idle_ms);
}

static void send_end(struct leg *leg, const struct fields *trailers)
{
    struct attempt *attempt = attempt_of_leg(leg);

    attempt->write_over = true;
    if (attempt->h2.connects && attempt->state != ATTEMPT_TUNNEL)
        return set_alarm(attempt, attempt->ex->times.response_ms); /* its side opens with it */
    if (!attempt->h2.ended && attempt->lease.stream)
        h2_send_end(attempt->lease.stream, trailers);
    attempt->h2.ended = true;
    if (attempt->state == ATTEMPT_TUNNEL)
        return;
    attempt->sent_us = loop_now_us(attempt->ex->worker->loop);
    /* An answer may have begun before the request was whole: then its pieces are awaited. */
    set_alarm(attempt, attempt->state == ATTEMPT_RESPONDING ? attempt->ex->times.idle_ms
                                                            : attempt->ex->times.response_ms);
}

/* A stream that is gone is told of by on_lost. */
static enum err flush(struct leg *leg)
{
    enum err err = stream_flush(&attempt_of_leg(leg)->lease);

    return err == ERR_AGAIN ? err : OK;
}

static size_t room(struct leg *leg)
{
    const struct lease *lease = &attempt_of_leg(leg)->lease;

    return lease->stream ? h2_room(lease->stream) : 0;
}

static void leg_hold(struct leg *leg)
{
    struct lease *lease = &attempt_of_leg(leg)->lease;

    if (lease->stream)
        h2_hold(lease->stream);
}

static void leg_release(struct leg *leg)
{
    struct attempt *attempt = attempt_of_leg(leg);

    set_alarm(attempt, attempt->ex->times.idle_ms);
    stream_release(&attempt->lease);
}

static void leg_end(struct leg *leg, enum leg_end how)
{
    struct attempt *attempt = attempt_of_leg(leg);

    alarm_disarm(&attempt->h2.alarm);
    /* An answer that is whole needs no more of the request. */
    if (how == LEG_CUT)
        stream_reset(&attempt->lease, attempt->whole ? H2_NO_ERROR : H2_CANCEL);
    lease_discard(&attempt->lease);
}

static const struct leg_ops attempt_h2_ops = {
    .name = "h2",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .room = room,
    .hold = leg_hold,
    .release = leg_release,
    .end = leg_end,
};

/* -- receiving -------------------------------------------------------------- */

static void on_begin(struct lease *lease)
{
    exchange_enter(attempt_of(lease)->ex);
}

static void on_batch_end(struct lease *lease)
{
    exchange_leave(attempt_of(lease)->ex);
}

/* What HTTP/1 says of a tunnel that opens; the proof that WebSocket wants is ours to give. */
static enum err switch_over(struct attempt *attempt, struct response *response)
{
    struct exchange *ex = attempt->ex;
    unsigned at = 0;
    const struct field_line *key = fields_next(&ex->request.fields, SPAN("sec-websocket-key"), &at);
    char accept[WEBSOCKET_ACCEPT];
    struct sluice_span kept;

    response->status = 101;
    response->framing = FRAMING_NONE;
    if (!key || ex->request.protocol.len > 0)
        return OK;
    websocket_accept(field_value(key), accept);
    kept = arena_copy(&ex->arena, span_make(accept, sizeof(accept)));
    response->fields.arena = &ex->arena;
    return kept.ptr ? fields_set(&response->fields, SPAN("sec-websocket-accept"), kept)
                    : ERR_MEMORY;
}

static void on_response(struct lease *lease, const struct response *response,
                        struct sluice_span bytes)
{
    struct attempt *attempt = attempt_of(lease);
    struct response its = *response;

    (void)bytes;
    if (attempt->state != ATTEMPT_AWAITING)
        return;
    attempt->started = true;
    set_alarm(attempt, attempt->ex->times.idle_ms);
    if (!attempt->h2.connects || its.status / 100 != 2) {
        attempt_on_head(attempt, &its);
    } else if (switch_over(attempt, &its) == OK) {
        alarm_disarm(&attempt->h2.alarm);
        attempt_on_tunnel(attempt, &its);
    } else {
        attempt_fail(attempt, ENDPOINT_RESET, ATTEMPT_SENT, "out of memory");
    }
}

static void on_body(struct lease *lease, struct sluice_span piece)
{
    struct attempt *attempt = attempt_of(lease);

    if (attempt->state < ATTEMPT_RESPONDING)
        return;
    set_alarm(attempt, attempt->ex->times.idle_ms);
    exchange_on_response_body(attempt->ex, piece);
}

static void on_end(struct lease *lease, const struct fields *trailers)
{
    struct attempt *attempt = attempt_of(lease);

    if (attempt->state >= ATTEMPT_RESPONDING)
        attempt_on_end(attempt, trailers);
}

static enum attempt_loss loss_of(const struct attempt *attempt, const struct stream_loss *loss)
{
    bool ended = loss->failure == ENDPOINT_RESET || loss->failure == ENDPOINT_CLOSED;

    if (loss->unprocessed)
        return ATTEMPT_REFUSED;
    return loss->of_connection && ended && attempt->lease.reused && !attempt->started
               ? ATTEMPT_STALE
               : ATTEMPT_SENT;
}

static void on_lost(struct lease *lease, const struct stream_loss *loss)
{
    struct attempt *attempt = attempt_of(lease);

    if (attempt->whole && attempt->state != ATTEMPT_TUNNEL)
        return; /* it has said all that is wanted of it */
    if (attempt->state >= ATTEMPT_RESPONDING)
        exchange_flush(attempt->ex); /* what came before the end is the client's */
    if (loss->reset)
        attempt->reset_code = loss->code < H2_CODES ? loss->code + 1 : H2_CODES;
    attempt_fail(attempt, loss->failure, loss_of(attempt, loss), loss->detail);
}

static void on_drained(struct lease *lease)
{
    struct attempt *attempt = attempt_of(lease);
    bool awaits_head = attempt->write_over && attempt->state == ATTEMPT_AWAITING;

    set_alarm(attempt, awaits_head ? attempt->ex->times.response_ms : attempt->ex->times.idle_ms);
    exchange_on_up_drained(attempt->ex);
}

static void refuse_tunnel(struct attempt *attempt)
{
    attempt_fail(attempt, ENDPOINT_PROTOCOL, ATTEMPT_REFUSED, "it opens no tunnels over HTTP/2");
}

/* Of a tunnel that was asked for by another method than GET, CONNECT would not tell the method. */
static bool opens_tunnel(const struct attempt *attempt)
{
    return attempt->ex->request.method == METHOD_GET && stream_opens_tunnels(&attempt->lease);
}

static void on_known(struct lease *lease)
{
    struct attempt *attempt = attempt_of(lease);

    if (attempt->state != ATTEMPT_CONNECTING)
        return;
    if (opens_tunnel(attempt)) {
        attempt_on_connected(attempt);
    } else {
        refuse_tunnel(attempt);
    }
}

const struct stream_ops attempt_h2_stream_ops = {
    .on_begin = on_begin,
    .on_batch_end = on_batch_end,
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
    .on_lost = on_lost,
    .on_drained = on_drained,
    .on_known = on_known,
};

/* -- beginning --------------------------------------------------------------- */

static void on_alarm(struct alarm *alarm)
{
    struct attempt *attempt = list_entry(alarm, struct attempt, h2.alarm);
    struct exchange *ex = attempt->ex;

    exchange_enter(ex);
    if (attempt->state == ATTEMPT_CONNECTING) {
        refuse_tunnel(attempt);
    } else {
        attempt_on_silence(attempt);
    }
    exchange_leave(ex);
}

void attempt_h2_begin(struct attempt *attempt)
{
    attempt->leg.ops = &attempt_h2_ops;
    attempt->h2.ended = false;
    attempt->h2.connects = attempt->ex->request.upgrade.len > 0;
    alarm_init(&attempt->h2.alarm, on_alarm);
}

bool attempt_h2_is_ready(struct attempt *attempt)
{
    bool known = stream_knows(&attempt->lease);

    if (!attempt->h2.connects || (known && opens_tunnel(attempt)))
        return true;
    if (known) /* told at the next tick: not from inside */
        alarm_arm(attempt->ex->worker->loop, &attempt->h2.alarm, 1);
    return false;
}
