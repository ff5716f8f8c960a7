/*
 * session_stream.c - the streams of a downstream HTTP/2 connection, each the leg of an exchange.
 *
 * A stream is told apart from its exchange here only: the exchange sees a leg like any other. What
 * http/h2 tells while it reads is passed on with the exchange entered once, and left when another
 * stream's turn comes or everything is read: so a head and its content go upstream in one piece.
 */
#include "proxy/session_h2.h"

#include "http/h2.h"
#include "proxy/worker.h"

enum {
    SKIP_MAX_BYTES = 256 * 1024, /* of content nobody wants */
    SLOW_BYTES = 1024, /* who takes less in a write timeout keeps its window all but shut */
};

/*
 * A client that takes its answers by small windows is read ahead for, so that a window that opens
 * is filled at once; one that has taken nothing is not, and neither is one for whom much waits.
 */
enum {
    TAKEN_BYTES = 64 * 1024,
    AHEAD_BYTES = 124 * 1024,
    AHEAD_MAX_BYTES = 512 * 1024, /* of all streams of a connection */
};

static const struct leg_ops stream_leg_ops;

static struct stream *stream_of(struct leg *leg)
{
    return list_entry(leg, struct stream, leg);
}

static struct multiplex *multiplex_of(const struct h2 *h2)
{
    return h2_owner(h2);
}

static const struct listener_conf *conf_of(const struct stream *stream)
{
    return session_conf(stream->multiplex->session);
}

static struct loop *loop_of(const struct stream *stream)
{
    return stream->multiplex->session->conn.loop;
}

static struct port_counters *counters_of(const struct multiplex *multiplex)
{
    return multiplex->session->port->counters;
}

struct exchange *stream_exchange(struct list *link)
{
    return list_entry(link, struct stream, link)->ex;
}

/* For who looks at the connection. */
static void note_reset(struct multiplex *multiplex, uint32_t code, bool by_client,
                       enum reason reason)
{
    multiplex->reset_code = (uint8_t)code;
    multiplex->reset_by_client = by_client;
    multiplex->reset_reason = (uint8_t)reason;
}

/* -- entering and leaving ---------------------------------------------------------- */

void stream_leave(struct multiplex *multiplex)
{
    struct stream *stream = multiplex->entered;

    multiplex->entered = NULL;
    if (stream)
        exchange_leave(stream->ex);
}

struct exchange *stream_enter(struct stream *stream)
{
    struct multiplex *multiplex = stream->multiplex;

    if (multiplex->entered != stream) {
        stream_leave(multiplex);
        exchange_enter(stream->ex);
        multiplex->entered = stream;
    }
    return stream->ex;
}

static void pour(struct list *from, struct list *to)
{
    while (!list_is_empty(from)) {
        struct list *link = from->next;

        list_remove(link);
        list_append(to, link);
    }
}

void stream_cut_all(struct multiplex *multiplex, enum reason reason)
{
    struct list turn;

    multiplex->cut = true;
    list_init(&turn);
    pour(&multiplex->streams, &turn);
    pour(&multiplex->fresh, &turn);
    while (!list_is_empty(&turn)) {
        struct stream *stream = list_entry(turn.next, struct stream, link);
        struct exchange *ex = stream->ex;

        list_remove(&stream->link);
        exchange_enter(ex);
        exchange_on_client_gone(ex, reason);
        exchange_leave(ex);
    }
}

/* -- deadlines ----------------------------------------------------------------------- */

void stream_await_content(struct stream *stream)
{
    stream->sending = false;
    if (stream->whole || stream->tunnel) {
        alarm_disarm(&stream->alarm);
    } else {
        alarm_arm(loop_of(stream), &stream->alarm, conf_of(stream)->timeout.body_ms);
    }
}

static void await_window(struct stream *stream)
{
    if (stream->sending || stream->tunnel || !stream->stream)
        return;
    stream->sending = true;
    stream->framed_bytes = h2_framed(stream->stream);
    alarm_arm(loop_of(stream), &stream->alarm, conf_of(stream)->timeout.write_ms);
}

/* Has the client let enough go? While the connection itself is blocked, that has an alarm. */
static bool takes_enough(const struct stream *stream)
{
    return stream->multiplex->blocked ||
           h2_framed(stream->stream) - stream->framed_bytes >= SLOW_BYTES;
}

static void on_slow_client(struct stream *stream)
{
    struct exchange *ex = stream->ex;

    stream->sending = false;
    if (!stream->stream || !h2_is_stuck(stream->stream))
        return;
    if (takes_enough(stream)) {
        await_window(stream);
        return;
    }
    counter_add(&counters_of(stream->multiplex)->h2_causes[H2_CAUSE_SLOW_STREAM], 1);
    exchange_enter(ex);
    exchange_on_client_gone(ex, REASON_WRITE_TIMEOUT);
    exchange_leave(ex);
}

static void on_alarm(struct alarm *alarm)
{
    struct stream *stream = list_entry(alarm, struct stream, alarm);
    struct exchange *ex = stream->ex;

    if (stream->sending) {
        on_slow_client(stream);
        return;
    }
    /* It is the upstream who is slow, and has deadlines of its own; or both sides talk by turns. */
    if (stream->whole || ex->down_held || ex->head_sent)
        return;
    exchange_enter(ex);
    exchange_on_request_failed(ex, REASON_BODY_TIMEOUT, NULL);
    exchange_leave(ex);
}

/* -- a new one -------------------------------------------------------------------------- */

static struct stream *stream_new(struct multiplex *multiplex, struct h2_stream *h2_stream,
                                 struct exchange_from *from)
{
    struct session *session = multiplex->session;
    struct exchange *ex = exchange_new(session->port);
    struct stream *stream = ex ? arena_try(&ex->arena, sizeof(*stream)) : NULL;

    if (!stream) {
        if (ex)
            exchange_forget(ex);
        h2_reset(h2_stream, H2_REFUSED_STREAM);
        return NULL;
    }
    stream->leg.ops = &stream_leg_ops;
    stream->multiplex = multiplex;
    stream->ex = ex;
    stream->stream = h2_stream;
    h2_stream->user = stream;
    alarm_init(&stream->alarm, on_alarm);
    list_init(&stream->link);
    session->requests++;
    *from = session_origin(session);
    from->leg = &stream->leg;
    from->protocol = "HTTP/2";
    from->via = SPAN("2.0 sluice");
    from->stream = h2_stream->id;
    counter_add(&counters_of(multiplex)->h2_streams, 1);
    if (multiplex->n_streams++ == 0)
        multiplex_set_alarm(multiplex);
    return stream;
}

/* Is the connection to end: the gateway, its listener, or its time? */
static bool is_to_end(const struct multiplex *multiplex)
{
    const struct session *session = multiplex->session;
    uint64_t max_ms = session_conf(session)->http2.max_age_ms;

    return session->port->worker->draining || !session->port->listener ||
           (max_ms > 0 &&
            loop_now_us(session->conn.loop) - multiplex->begun_us > max_ms * UINT64_C(1000));
}

static void on_request(struct h2_stream *h2_stream, const struct request *request,
                       struct sluice_span bytes)
{
    struct multiplex *multiplex = multiplex_of(h2_stream->h2);
    struct exchange_from from;
    struct stream *stream;

    stream_leave(multiplex);
    if (is_to_end(multiplex))
        multiplex_drain(multiplex);
    stream = stream_new(multiplex, h2_stream, &from);
    if (!stream)
        return;
    stream->whole = !request_has_content(request);
    stream->sends_no_content = request->method == METHOD_HEAD;
    stream->connects = request->protocol.len > 0;
    stream->waits = request->expects_continue;
    exchange_take(stream->ex, &from, request, bytes);
    stream_line_up(stream);
}

static void on_refused(struct h2_stream *h2_stream, enum h1_rule rule)
{
    struct multiplex *multiplex = multiplex_of(h2_stream->h2);
    struct exchange_from from;
    struct stream *stream;

    stream_leave(multiplex);
    stream = stream_new(multiplex, h2_stream, &from);
    if (!stream)
        return;
    stream->whole = true;
    exchange_take_refused(stream->ex, &from, session_reason_of_rule(rule), h1_rule_text(rule));
    stream_line_up(stream);
}

/* -- what arrives ------------------------------------------------------------------------ */

static void on_content(struct h2_stream *h2_stream)
{
    struct stream *stream = h2_stream->user;

    if (stream->fresh)
        stream_begin(stream);
}

static void on_body(struct h2_stream *h2_stream, struct sluice_span piece)
{
    struct stream *stream = h2_stream->user;

    stream->waits = false;
    if (!stream->sending)
        stream_await_content(stream);
    exchange_on_request_body(stream_enter(stream), piece);
    if (stream->multiplex->running)
        exchange_flush(stream->ex); /* it may be lent, to the cork too */
}

static void on_end(struct h2_stream *h2_stream, const struct fields *trailers)
{
    struct stream *stream = h2_stream->user;

    if (stream->whole)
        return; /* nothing was announced, and its exchange knows */
    stream->whole = true;
    if (!stream->sending)
        stream_await_content(stream);
    exchange_on_request_end(stream_enter(stream), trailers);
}

static void on_lost(struct h2_stream *h2_stream, const struct h2_loss *loss)
{
    struct stream *stream = h2_stream->user;
    struct port_counters *counters = counters_of(stream->multiplex);
    struct exchange *ex = stream->ex;
    enum reason reason = REASON_CLIENT_RESET;
    unsigned code = loss->code < H2_CODES ? loss->code : H2_CODES - 1;

    counter_add(loss->by_peer ? &counters->h2_resets_in[code] : &counters->h2_resets_out[code], 1);
    if (!loss->by_peer && loss->detail) {
        reason = REASON_BAD_REQUEST;
        ex->detail = loss->detail;
    }
    note_reset(stream->multiplex, code, loss->by_peer, reason);
    stream->lost = true;
    stream->lost_by_client = loss->by_peer;
    stream->lost_code = (uint8_t)code;
    stream->stream = NULL;
    exchange_on_client_gone(stream_enter(stream), reason);
}

static void on_drained(struct h2_stream *h2_stream)
{
    struct stream *stream = h2_stream->user;

    stream_leave(stream->multiplex);
    stream_await_content(stream);
    exchange_enter(stream->ex);
    exchange_on_down_drained(stream->ex);
    exchange_leave(stream->ex);
}

/* -- the connection -------------------------------------------------------------------- */

static void on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    (void)h2; /* a client that leaves: its streams go on, and it closes */
    (void)last;
    (void)code;
}

static void on_settings(struct h2 *h2)
{
    (void)h2;
}

static void on_pong(struct h2 *h2)
{
    struct multiplex *multiplex = multiplex_of(h2);

    multiplex->asked = false;
    if (multiplex->drain == DRAIN_NOTICE) {
        multiplex->drain = DRAIN_FINAL;
        h2_goaway(h2, H2_NO_ERROR);
        multiplex_set_alarm(multiplex);
    }
}

static void on_cause(struct h2 *h2, enum h2_cause cause)
{
    counter_add(&counters_of(multiplex_of(h2))->h2_causes[cause], 1);
}

static void wake(struct h2 *h2)
{
    multiplex_wake(multiplex_of(h2));
}

static void put(struct h2 *h2, struct sluice_span bytes)
{
    conn_put(&multiplex_of(h2)->session->conn, bytes);
}

static void lend(struct h2 *h2, struct sluice_span bytes)
{
    conn_lend(&multiplex_of(h2)->session->conn, bytes);
}

const struct h2_ops session_h2_ops = {
    .on_request = on_request,
    .on_refused = on_refused,
    .on_content = on_content,
    .on_body = on_body,
    .on_end = on_end,
    .on_lost = on_lost,
    .on_drained = on_drained,
    .on_goaway = on_goaway,
    .on_settings = on_settings,
    .on_pong = on_pong,
    .on_cause = on_cause,
    .wake = wake,
    .put = put,
    .lend = lend,
};

/* -- the leg ------------------------------------------------------------------------------- */

/* What the client sends from now on is content, until it ends its side (RFC 8441 5). */
static enum err send_tunnel_head(struct stream *stream, const struct response *granted)
{
    struct response response = *granted;
    enum err err;

    response.status = 200;
    (void)fields_remove(&response.fields, SPAN("sec-websocket-accept"));
    err = h2_send_response(stream->stream, &response, BODY_UNKNOWN, false);
    if (err)
        return err;
    stream->tunnel = true;
    stream->whole = false;
    alarm_disarm(&stream->alarm);
    h2_release(stream->stream);
    return OK;
}

static enum err send_head(struct leg *leg, const struct leg_head *head)
{
    struct stream *stream = stream_of(leg);
    const struct response *response = head->response;
    bool is_empty =
        head->framing == FRAMING_NONE || (head->framing == FRAMING_LENGTH && head->body_bytes == 0);
    int64_t length = head->framing == FRAMING_LENGTH ? head->body_bytes : head->keep_length;

    if (!stream->stream)
        return OK; /* flush() tells */
    if (response->upgrade.len > 0 && stream->connects)
        return send_tunnel_head(stream, response);
    if (stream->connects && response->status / 100 == 2)
        return ERR_LIMIT; /* it would mean that there is a tunnel */
    if (h2_send_response(stream->stream, response, length, is_empty) == ERR_MEMORY)
        return ERR_LIMIT;
    return OK;
}

static void send_body(struct leg *leg, struct sluice_span piece)
{
    struct stream *stream = stream_of(leg);

    if (stream->stream && !stream->sends_no_content)
        h2_send_body(stream->stream, piece);
}

static void send_end(struct leg *leg, const struct fields *trailers)
{
    struct stream *stream = stream_of(leg);

    if (stream->stream)
        h2_send_end(stream->stream, trailers);
}

static enum err flush(struct leg *leg)
{
    struct stream *stream = stream_of(leg);
    enum err err = stream->stream ? h2_flush(stream->stream) : ERR_CLOSED;

    if (err == ERR_CLOSED)
        return ERR_CLOSED;
    if (multiplex_send(stream->multiplex) == ERR_AGAIN && err == OK && stream->stream)
        err = h2_flush(stream->stream); /* to be told when the connection takes more */
    if (err == ERR_AGAIN)
        await_window(stream);
    return err;
}

static size_t room(struct leg *leg)
{
    const struct stream *stream = stream_of(leg);

    size_t bytes;

    if (!stream->stream)
        return 0;
    bytes = h2_room(stream->stream);
    if (bytes < AHEAD_BYTES && h2_framed(stream->stream) >= TAKEN_BYTES &&
        h2_queued(stream->multiplex->h2) < AHEAD_MAX_BYTES)
        bytes = AHEAD_BYTES;
    return bytes;
}

static void leg_hold(struct leg *leg)
{
    struct stream *stream = stream_of(leg);

    if (stream->stream)
        h2_hold(stream->stream);
}

static void leg_release(struct leg *leg)
{
    struct stream *stream = stream_of(leg);

    if (!stream->stream || (stream->connects && !stream->tunnel))
        return;
    if (!stream->sending)
        stream_await_content(stream);
    h2_release(stream->stream);
}

/*
 * A short rest is read and forgotten: a client that is still sending when its stream is ended may
 * take that for a failure, though it has its answer.
 */
static bool can_skip(struct leg *leg)
{
    const struct stream *stream = stream_of(leg);
    int64_t left = stream->stream ? h2_left(stream->stream) : BODY_UNKNOWN;

    return !stream->waits && !stream->tunnel && left != BODY_UNKNOWN && left <= SKIP_MAX_BYTES;
}

/* How a stream is reset; a client of gRPC takes CANCEL after its deadline for just that. */
static uint32_t code_of(const struct exchange *ex)
{
    if (ex->is_grpc && ex->reason == REASON_TOTAL_TIMEOUT)
        return H2_CANCEL;
    switch ((unsigned)ex->reason) {
    case REASON_WRITE_TIMEOUT:
    case REASON_TUNNEL_TIMEOUT:
    case REASON_TUNNEL_DRAINED:
    case REASON_DRAINING:
    case REASON_OPERATOR_CLOSED:
        return H2_CANCEL;
    default:
        return H2_INTERNAL_ERROR;
    }
}

/* One that goes with its connection is not reset. */
static bool find_reset(struct leg *leg, enum leg_end how, struct leg_reset *reset)
{
    const struct stream *stream = stream_of(leg);
    bool by_us = stream->stream && how == LEG_CUT && !stream->multiplex->cut;

    if (!stream->lost && !by_us)
        return false;
    reset->by_peer = stream->lost && stream->lost_by_client;
    reset->code = h2_code_name(stream->lost ? stream->lost_code : code_of(stream->ex));
    return true;
}

static void leg_end(struct leg *leg, enum leg_end how)
{
    struct stream *stream = stream_of(leg);
    struct multiplex *multiplex = stream->multiplex;

    if (multiplex->entered == stream)
        multiplex->entered = NULL;
    list_remove(&stream->link);
    alarm_disarm(&stream->alarm);
    if (stream->fresh)
        counter_add(&counters_of(multiplex)->h2_not_begun, 1);
    if (stream->stream && how == LEG_CUT) {
        uint32_t code = code_of(stream->ex);

        if (!multiplex->cut)
            counter_add(&counters_of(multiplex)->h2_resets_out[code], 1);
        note_reset(multiplex, code, false, stream->ex->reason);
        h2_reset(stream->stream, code);
    } else if (stream->stream) {
        h2_leave(stream->stream);
    }
    if (--multiplex->n_streams > 0)
        return;
    multiplex->quiet_since = conn_tick(multiplex->session->conn.loop);
    multiplex_set_alarm(multiplex);
    if (multiplex->drain == DRAIN_FINAL)
        multiplex_wake(multiplex); /* the last one: it may end */
}

static const struct leg_ops stream_leg_ops = {
    .name = "h2",
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .room = room,
    .hold = leg_hold,
    .release = leg_release,
    .can_skip = can_skip,
    .find_reset = find_reset,
    .end = leg_end,
};
