/*
 * call_h2.c - a call as a stream of a connection that is shared.
 */
#include "http/rules.h"
#include "proxy/call_state.h"

static struct call *call_of(struct lease *lease)
{
    return list_entry(lease, struct call, lease);
}

void call_h2_send(struct call *call, struct sluice_span host, bool has_body)
{
    const struct h2_request_head head = {
        .request = &call->request,
        .scheme = call->lease.upstream->tls ? SPAN("https") : SPAN("http"),
        .authority = host,
        .target = call->target,
        .length = has_body ? (int64_t)call->content.len : BODY_UNKNOWN,
        .last = call->content.len == 0,
    };

    if (stream_open(&call->lease, &head) != OK) {
        call_end(call, SLUICE_HTTP_BROKEN);
        return;
    }
    if (head.last)
        return;
    h2_send_body(call->lease.stream, call->content);
    h2_send_end(call->lease.stream, NULL);
    (void)!stream_flush(
        &call->lease); /* what cannot go now goes by itself; the call has its time */
}

static void on_begin(struct lease *lease)
{
    (void)lease;
}

static void on_batch_end(struct lease *lease)
{
    struct call *call = call_of(lease);

    if (call->state == CALL_OVER)
        call_tell(call);
}

static void on_response(struct lease *lease, const struct response *response,
                        struct sluice_span bytes)
{
    struct call *call = call_of(lease);
    struct response its = *response;

    call->started = true;
    if (call->state != CALL_AWAITING)
        return;
    if (its.status >= 200) {
        call_begin(call, &its, bytes);
    } else if (++call->n_interim > CALL_INTERIM_MAX) {
        call_fail(call, ENDPOINT_PROTOCOL, false);
    }
}

static void on_body(struct lease *lease, struct sluice_span piece)
{
    struct call *call = call_of(lease);

    if (call->state != CALL_RECEIVING)
        return;
    text_add(&call->body, piece);
    if (call->body.cut)
        call_end(call, SLUICE_HTTP_TOO_LARGE);
}

static void on_end(struct lease *lease, const struct fields *trailers)
{
    struct call *call = call_of(lease);

    (void)trailers;
    if (call->state != CALL_RECEIVING)
        return;
    call_complete(call);
    lease_discard(lease);
}

static void on_lost(struct lease *lease, const struct stream_loss *loss)
{
    struct call *call = call_of(lease);

    if (call->state != CALL_OVER)
        call_fail(call, loss->failure, loss->unprocessed);
}

/* Nobody waits for it. */
static void on_drained(struct lease *lease)
{
    (void)lease;
}

const struct stream_ops call_stream_ops = {
    .on_begin = on_begin,
    .on_batch_end = on_batch_end,
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_lost = on_lost,
    .on_known = on_drained,
};
