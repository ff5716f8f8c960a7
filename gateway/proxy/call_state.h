/*
 * call_state.h - a call as its files see it: call.c (its life, and HTTP/1), call_h2.c (a stream).
 */
#ifndef PROXY_CALL_STATE_H
#define PROXY_CALL_STATE_H

#include "proxy/call.h"

#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "upstream/stream.h"
#include "upstream/upstream.h"

enum {
    CALL_INTERIM_MAX = 100,
    CALL_HEAD_BYTES = 60 * 1024, /* of an answer */
};

enum call_state { CALL_QUEUED, CALL_CONNECTING, CALL_AWAITING, CALL_RECEIVING, CALL_OVER };

struct call {
    struct arena arena; /* in whose first chunk we live */
    struct lease lease;
    struct worker *worker; /* borrowed */
    struct upstream *upstream;
    struct alarm deadline;
    struct soon soon; /* it ended inside call_start(): told at the end of the turn */
    chain_http_fn *done;
    void *arg; /* borrowed */
    enum call_state state;
    enum sluice_http_end end;
    uint64_t connect_ms, sent_us;
    struct request request;
    struct sluice_span target, host, content;
    struct response response;
    struct text body; /* what has come of the answer's */
    struct h1_scan scan;
    struct h1_body framing; /* HTTP/1 */
    unsigned n_interim;
    bool in_trailers, started, retried;
    bool keeps; /* HTTP/1: the answer is whole, and its connection may serve another call */
    bool telling;
};

/* -- call.c ---------------------------------------------------------------- */

/* It is over; call_tell() is to follow. The lease is given up. */
void call_end(struct call *call, enum sluice_http_end how);

/* Tell whoever called, and go. */
void call_tell(struct call *call);

/* The answer's head has come, in these bytes. */
void call_begin(struct call *call, struct response *response, struct sluice_span head);

/* The answer is whole; the lease is as it is. */
void call_complete(struct call *call);

/*
 * The connection or the stream is of no use; another one is tried when that is allowed:
 * call->state tells. unprocessed: nobody has surely done anything yet.
 */
void call_fail(struct call *call, enum endpoint_failure failure, bool unprocessed);

/* -- call_h2.c ---------------------------------------------------------------- */

extern const struct stream_ops call_stream_ops;

/* The lease has room for a stream: send the request by it. */
void call_h2_send(struct call *call, struct sluice_span host, bool has_body);

#endif /* PROXY_CALL_STATE_H */
