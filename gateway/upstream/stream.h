/*
 * stream.h - a lease as one stream of a connection that several leases share (HTTP/2).
 *
 * A lease that was given with lease->mux set (and not lease->dialling) has room for one stream,
 * which its holder opens with the head of its request; content, ends and holds then go by h2_stream
 * (http/h2.h). What comes is told by stream_ops. The connection is upstream/mux.c's.
 *
 * What is told in one go, by the bytes of one read, lies between on_begin and on_batch_end: pieces
 * that on_body gave are there until then.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_STREAM_H
#define UPSTREAM_STREAM_H

#include "http/h2.h"
#include "upstream/endpoint.h"

struct lease;

/* Why a stream is no more; what it says about the endpoint. */
struct stream_loss {
    enum endpoint_failure failure;
    bool of_connection; /* which is gone as a whole */
    bool unprocessed;   /* the endpoint has surely not processed the request */
    bool reset;         /* by the endpoint, which goes on with the connection */
    uint32_t code;      /* if so: its error code */
    const char *detail; /* static, or NULL */
};

/*
 * For the holder of a stream, by the loop and never from inside a stream_ function. Each may end
 * the lease.
 */
struct stream_ops {
    /* The first of several calls; on_batch_end is the last, whatever becomes of the lease. */
    void (*on_begin)(struct lease *lease);
    void (*on_batch_end)(struct lease *lease);
    /* As in struct h2_ops. */
    void (*on_response)(struct lease *lease, const struct response *response,
                        struct sluice_span bytes);
    void (*on_body)(struct lease *lease, struct sluice_span piece);
    void (*on_end)(struct lease *lease, const struct fields *trailers);
    void (*on_drained)(struct lease *lease);
    /* The stream is gone, or cannot be opened any more. The lease is still to be ended. */
    void (*on_lost)(struct lease *lease, const struct stream_loss *loss);
    /* stream_knows() has become true; only while no stream was opened. */
    void (*on_known)(struct lease *lease);
};

/*
 * Open the stream: lease->stream. ERR_REFUSED: there is no room for it any more; ERR_LIMIT: the
 * head is too large; ERR_MEMORY. Sent with stream_flush(), or at the end of the turn.
 */
CHECKED enum err stream_open(struct lease *lease, const struct h2_request_head *head);

/*
 * What was lent may go. OK, or ERR_AGAIN: some is queued, on_drained follows. Others: the stream
 * is gone, on_lost tells.
 */
CHECKED enum err stream_flush(struct lease *lease);

/* What was held may go on being read. */
void stream_release(struct lease *lease);

/* End the stream by an error code; the lease is still to be ended. */
void stream_reset(struct lease *lease, uint32_t code);

/* Has the endpoint said what it can do (SETTINGS)? */
bool stream_knows(const struct lease *lease);

/* Does it open tunnels (RFC 8441)? */
bool stream_opens_tunnels(const struct lease *lease);

#endif /* UPSTREAM_STREAM_H */
