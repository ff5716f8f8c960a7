/*
 * mux_bytes.c - what goes over a shared connection, and who is told of it.
 */
#include "upstream/mux_state.h"

#include "base/log.h"

enum {
    READS_MAX = 8,       /* of one connection in a turn, then others get theirs */
    HEAD_FIELDS = 256,   /* field lines of a response */
    HEAD_BYTES = 65536,  /* of a response head */
    TABLE_BYTES = 4096,  /* HPACK, each way */
    INTERVAL_MS = 10000, /* the limits of what an endpoint may do are per that */
    FRAMES_MAX = 10000,
    CONTROL_MAX = 1000,
};

static struct mux *mux_of(struct conn *conn)
{
    return pooled_of(conn)->mux;
}

static void count_reset(const struct mux *mux, enum endpoint_reset reset)
{
    counter_add(&mux->endpoint->counters->resets[reset], 1);
}

/* -- batches --------------------------------------------------------------- */

static struct lease *told(struct mux *mux, struct lease *lease)
{
    if (list_is_empty(&lease->batch)) {
        list_append(&mux->batch, &lease->batch);
        lease->streams->on_begin(lease);
    }
    return lease;
}

static void end_batch(struct mux *mux)
{
    mux->feeding = false;
    while (!list_is_empty(&mux->batch)) {
        struct lease *lease = list_entry(mux->batch.next, struct lease, batch);

        list_remove(&lease->batch);
        lease->streams->on_batch_end(lease);
    }
}

/* -- sending ------------------------------------------------------------------ */

/* Send what there is to be sent. */
static void send_out(struct mux *mux)
{
    struct conn *conn = mux_conn(mux);
    enum err err;

    if (!mux->h2 || !conn_is_open(conn))
        return;
    h2_pull(mux->h2);
    err = conn_flush(conn);
    if (err == ERR_AGAIN) {
        h2_block(mux->h2);
    } else if (err) {
        conn_look(conn); /* it may have answered before it ended: reading tells */
    }
}

/* Put, lend: nothing goes out from here, so nothing can fail here. */
static void on_put(struct h2 *h2, struct sluice_span bytes)
{
    conn_put(mux_conn(h2_owner(h2)), bytes);
}

static void on_lend(struct h2 *h2, struct sluice_span bytes)
{
    conn_lend(mux_conn(h2_owner(h2)), bytes);
}

static void on_wake(struct h2 *h2)
{
    struct mux *mux = h2_owner(h2);

    loop_soon(mux->loop, &mux->soon);
}

/* The connection is gone: answers that came whole before it are still to be taken. */
static void deliver_rest(struct mux *mux)
{
    if (!mux->h2)
        return;
    mux->delivering = true;
    h2_run(mux->h2);
    end_batch(mux);
    mux->delivering = false;
    mux_free_unused(mux);
}

/*
 * A rule that was broken ends all streams as soon as the GOAWAY that says so is out; nothing need
 * come after that.
 */
static void end_if_broken(struct mux *mux)
{
    if (mux->h2 && mux->state != MUX_ENDED && h2_is_broken(mux->h2)) {
        mux_lose(mux, ENDPOINT_PROTOCOL,
                 h2_has_starved(mux->h2) ? "out of memory" : "HTTP/2 is broken");
    }
}

void mux_run_soon(struct soon *soon)
{
    struct mux *mux = list_entry(soon, struct mux, soon);

    if (!conn_is_open(mux_conn(mux))) {
        deliver_rest(mux);
        return;
    }
    if (mux->connected) {
        mux->connected = false;
        mux_on_dialled(mux);
        return;
    }
    if (mux->h2 && mux->state != MUX_ENDED) {
        h2_run(mux->h2);
        end_batch(mux);
        if (mux->n_dialling > 0 && mux->state != MUX_ENDED)
            mux_serve(mux);
    }
    if (mux->h2 && mux->state == MUX_ENDED && !h2_is_over(mux->h2))
        h2_goaway(mux->h2, H2_NO_ERROR);
    send_out(mux);
    if (mux->state == MUX_ENDED) {
        conn_close(mux_conn(mux));
    } else {
        end_if_broken(mux);
    }
}

/* -- what the connection says ---------------------------------------------------- */

static void on_settings(struct h2 *h2)
{
    struct mux *mux = h2_owner(h2);
    struct list *next;

    mux->known = true;
    if (mux->state == MUX_ENDED)
        return;
    for (struct list *node = mux->waiting.next; node != &mux->waiting; node = next) {
        struct lease *lease = list_entry(node, struct lease, line);

        next = node->next;
        told(mux, lease)->streams->on_known(lease);
    }
    mux->endpoint->max_streams = h2_stream_cap(h2);
    mux->endpoint->shut = h2_stream_cap(h2) == 0;
    if (mux->n_leases > mux->n_dialling)
        conn_set_alarm(mux_conn(mux), 0);
    loop_soon(mux->loop, &mux->soon); /* there may be more room now */
    upstream_wake(mux->endpoint->upstream);
}

static void on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    struct mux *mux = h2_owner(h2);

    (void)last;
    if (mux->state == MUX_ENDED)
        return;
    counter_add(&mux->endpoint->counters->goaways, 1);
    if (code != H2_NO_ERROR) {
        log_debug("an endpoint ends its connection", F_STR("upstream", mux_upstream(mux)->name),
                  F_SPAN("endpoint", mux->endpoint->member.text),
                  F_STR("code", h2_code_name(code)));
    }
    mux_drain(mux);
}

static void on_cause(struct h2 *h2, enum h2_cause cause)
{
    struct mux *mux = h2_owner(h2);

    mux->detail = h2_cause_text(cause);
}

/* Something has come: whoever speaks is alive. */
static void on_pong(struct h2 *h2)
{
    struct mux *mux = h2_owner(h2);

    mux->heard = true;
    mux->pinged = false;
    if (mux->state != MUX_ENDED && alarm_is_armed(&mux->ping))
        alarm_arm(mux->loop, &mux->ping, mux_upstream(mux)->http2.ping_ms);
}

void mux_on_ping(struct alarm *alarm)
{
    struct mux *mux = list_entry(alarm, struct mux, ping);
    const struct upstream_http2 *conf = &mux_upstream(mux)->http2;
    uint64_t ms = conf->ping_ms;

    if (mux->pinged && !mux->heard) {
        counter_add(&mux->endpoint->counters->unanswered_pings, 1);
        mux_lose(mux, ENDPOINT_IDLE_TIMEOUT, "no answer to a PING");
        return;
    }
    if (ms == 0)
        return;
    mux->pinged = !mux->heard;
    mux->heard = false;
    if (mux->pinged) {
        h2_ping(mux->h2);
        loop_soon(mux->loop, &mux->soon);
        ms = conf->ping_timeout_ms;
    }
    alarm_arm(mux->loop, &mux->ping, ms);
}

/* -- what streams say ---------------------------------------------------------------- */

static struct mux *mux_of_stream(const struct h2_stream *stream)
{
    return h2_owner(stream->h2);
}

static struct lease *told_of(const struct h2_stream *stream)
{
    return told(mux_of_stream(stream), stream->user);
}

static void on_response(struct h2_stream *stream, const struct response *response,
                        struct sluice_span bytes)
{
    struct lease *lease = told_of(stream);

    lease->streams->on_response(lease, response, bytes);
}

static void on_body(struct h2_stream *stream, struct sluice_span piece)
{
    struct mux *mux = mux_of_stream(stream);
    struct lease *lease = told_of(stream);

    lease->streams->on_body(lease, piece);
    if (!mux->feeding) { /* it was queued, and goes when this returns */
        list_remove(&lease->batch);
        lease->streams->on_batch_end(lease);
    }
}

static void on_end(struct h2_stream *stream, const struct fields *trailers)
{
    struct lease *lease = told_of(stream);

    lease->streams->on_end(lease, trailers);
}

static void on_stream_drained(struct h2_stream *stream)
{
    struct lease *lease = told_of(stream);

    lease->streams->on_drained(lease);
}

/* By whom, and for what: as it is counted. */
static enum endpoint_reset reset_of(const struct h2_loss *loss)
{
    if (loss->unprocessed)
        return ENDPOINT_RESET_REFUSED;
    if (!loss->by_peer)
        return ENDPOINT_RESET_MALFORMED;
    return loss->code == H2_CANCEL || loss->code == H2_NO_ERROR ? ENDPOINT_RESET_CANCELLED
                                                                : ENDPOINT_RESET_FAILED;
}

static void on_lost(struct h2_stream *stream, const struct h2_loss *loss)
{
    struct mux *mux = mux_of_stream(stream);
    struct lease *lease = told_of(stream);
    struct stream_loss its = {
        .failure = mux->failure, .detail = mux->detail, .of_connection = mux->state == MUX_ENDED};

    lease->stream = NULL;
    if (mux->state != MUX_ENDED) {
        count_reset(mux, reset_of(loss));
        its.failure = loss->by_peer ? ENDPOINT_RESET : ENDPOINT_PROTOCOL;
        its.detail = loss->by_peer ? h2_code_name(loss->code) : loss->detail;
        its.unprocessed = loss->unprocessed;
        its.reset = loss->by_peer;
        its.code = loss->code;
    }
    lease->streams->on_lost(lease, &its);
}

static const struct h2_ops mux_h2_ops = {
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
    .on_lost = on_lost,
    .on_drained = on_stream_drained,
    .on_goaway = on_goaway,
    .on_settings = on_settings,
    .on_pong = on_pong,
    .on_cause = on_cause,
    .wake = on_wake,
    .put = on_put,
    .lend = on_lend,
};

/* -- what the connection does ---------------------------------------------------------- */

void mux_lose(struct mux *mux, enum endpoint_failure failure, const char *detail)
{
    const struct h2_loss loss = {.code = H2_NO_ERROR, .detail = detail};
    struct endpoint *endpoint = mux->endpoint;

    endpoint->active++; /* what ends now must not take it away */
    mux->failure = failure;
    mux->detail = mux->detail ? mux->detail : detail;
    mux_detach(mux);
    h2_fail(mux->h2, &loss);
    mux_fail_waiting(mux, ERR_RESET);
    while (!list_is_empty(&mux->waiting)) {
        struct lease *lease = list_entry(mux->waiting.next, struct lease, line);
        const struct stream_loss its = {.failure = failure, .unprocessed = true, .detail = detail};

        list_remove(&lease->line);
        told(mux, lease)->streams->on_lost(lease, &its);
    }
    end_batch(mux);
    conn_close(mux_conn(mux));
    endpoint->active--;
    endpoint_settle(endpoint);
}

/* The peer broke a rule that makes the whole connection unusable: it is told so. */
static void give_up(struct mux *mux, enum err err)
{
    send_out(mux);
    mux_lose(mux, ENDPOINT_PROTOCOL, err == ERR_MEMORY ? "out of memory" : "HTTP/2 is broken");
}

static enum endpoint_failure failure_of(enum err err)
{
    return err == ERR_CLOSED ? ENDPOINT_CLOSED : ENDPOINT_RESET;
}

/*
 * Give what was read to the machine; false when the connection has ended, or is about to: nobody
 * is on it then, and its endpoint may be gone.
 */
static bool feed(struct mux *mux, struct sluice_span bytes)
{
    enum err err;

    mux->heard = true;
    mux->feeding = true;
    err = h2_feed(mux->h2, bytes, loop_now_us(mux->loop));
    conn_consume(mux_conn(mux), bytes.len);
    end_batch(mux);
    if (!conn_is_open(mux_conn(mux)) || mux->state == MUX_ENDED)
        return false;
    if (err)
        give_up(mux, err);
    return err == OK;
}

/* What the loop has lent goes back, though nothing more is read. */
static void let_go(struct conn *conn)
{
    if (conn_is_open(conn) && conn_settle(conn, false) != OK)
        conn_close(conn);
}

static void read_on(struct mux *mux)
{
    struct conn *conn = mux_conn(mux);
    struct sluice_span bytes;
    enum err err = OK;

    for (unsigned i = 0; i < READS_MAX && err == OK; i++) {
        err = conn_read(conn, &bytes);
        if (err == OK && !feed(mux, bytes)) {
            let_go(conn);
            return;
        }
    }
    if (err && err != ERR_AGAIN) {
        mux_lose(mux, failure_of(err), NULL);
        return;
    }
    if (conn_settle(conn, mux->n_leases > 0) != OK) {
        mux_lose(mux, ENDPOINT_RESET, "out of memory");
        return;
    }
    send_out(mux);
    end_if_broken(mux);
    if (err == OK && conn_is_open(conn))
        conn_yield(conn);
}

static void on_readable(struct conn *conn)
{
    struct mux *mux = mux_of(conn);

    if (mux->state == MUX_DIALLING || mux->state == MUX_ENDED)
        return;
    read_on(mux);
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)err;
    conn_look(conn); /* bytes that came before are read first */
}

static void on_progress(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    mux_on_closed(mux_of(conn));
}

static void on_drained(struct conn *conn)
{
    struct mux *mux = mux_of(conn);

    if (mux->state == MUX_DIALLING) {
        mux_on_dialled(mux);
        return;
    }
    h2_unblock(mux->h2);
    h2_run(mux->h2);
    end_batch(mux);
    send_out(mux);
    end_if_broken(mux);
}

static void on_failed(struct conn *conn, enum err err)
{
    struct mux *mux = mux_of(conn);

    if (mux->state == MUX_DIALLING) {
        upstream_say_unshaken(mux->endpoint->upstream, mux->endpoint, tls_failure(conn));
        mux_fail_dial(mux, err);
    } else {
        conn_look(conn);
    }
}

static void on_alarm(struct conn *conn)
{
    mux_on_time(mux_of(conn));
}

const struct conn_ops mux_conn_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = on_closed,
};

enum err mux_speak(struct mux *mux)
{
    const struct upstream_http2 *conf = &mux_upstream(mux)->http2;

    mux->settings = (struct h2_settings){
        .window = (uint32_t)conf->window,
        .connection_window = (uint32_t)conf->connection_window,
        .line_bytes = HEAD_BYTES,
        .head_bytes = HEAD_BYTES,
        .field_count = HEAD_FIELDS,
        .decoder_table = TABLE_BYTES,
        .encoder_table = TABLE_BYTES,
        .limits = {.interval_ms = INTERVAL_MS,
                   .settings = CONTROL_MAX,
                   .pings = CONTROL_MAX,
                   .empty_frames = FRAMES_MAX,
                   .priorities = FRAMES_MAX,
                   .tiny_windows = FRAMES_MAX,
                   .continuations = 64,
                   .control_queue = CONTROL_MAX},
    };
    mux->h2 = h2_new(upstreams_bench(mux->endpoint->upstream), H2_CLIENT, &mux->settings,
                     &mux_h2_ops, mux);
    return mux->h2 ? OK : ERR_MEMORY;
}

/*
 * -- streams ------------------------------------------------------------------------------------
 */

enum err stream_open(struct lease *lease, const struct h2_request_head *head)
{
    struct mux *mux = lease->mux;
    enum err err;

    if (mux->state == MUX_ENDED)
        return ERR_REFUSED;
    err = h2_send_request(mux->h2, head, lease, &lease->stream);
    if (err == ERR_LIMIT && h2_stream_room(mux->h2) == 0)
        return ERR_REFUSED;
    if (err)
        return err;
    list_remove(&lease->line);
    mux->n_waiting--;
    lease->is_open = true;
    counter_add(&mux->endpoint->counters->streams, 1);
    loop_soon(mux->loop, &mux->soon);
    return OK;
}

enum err stream_flush(struct lease *lease)
{
    struct mux *mux = lease->mux;
    enum err err;

    if (!lease->stream)
        return lease->is_open ? ERR_CLOSED : OK;
    err = h2_flush(lease->stream);
    send_out(mux);
    return err;
}

void stream_release(struct lease *lease)
{
    if (lease->stream)
        h2_release(lease->stream);
}

void stream_reset(struct lease *lease, uint32_t code)
{
    if (!lease->stream)
        return;
    h2_reset(lease->stream, code);
    lease->stream = NULL;
    count_reset(lease->mux,
                code == H2_PROTOCOL_ERROR ? ENDPOINT_RESET_MALFORMED : ENDPOINT_RESET_UNWANTED);
}

bool stream_knows(const struct lease *lease)
{
    return lease->mux->known;
}

bool stream_opens_tunnels(const struct lease *lease)
{
    return h2_has_extended_connect(lease->mux->h2);
}
