/*
 * call.h - an HTTP request of the gateway's own, through the upstreams of a worker.
 *
 *   QUEUED > CONNECTING > AWAITING > RECEIVING > over
 *       \________________/  a kept connection needs no connecting
 *
 * For what plugins ask of others while a request is served. It leases connections as exchanges
 * do: the same pools, balancing, TLS, caps, outlier detection. The answer is collected in memory,
 * under a limit; the whole call has one deadline. An endpoint that cannot be reached is replaced by
 * another one; a kept connection that turns out dead is replaced once, if the method allows.
 *
 * Owns:    its lease, and the memory of request and answer.
 * Threads: the worker's.
 */
#ifndef PROXY_CALL_H
#define PROXY_CALL_H

#include "chain/ops.h"

struct call;
struct upstream;
struct worker;

enum { CALL_SENT_MAX = 1024 * 1024, CALL_FIELDS_MAX = 256 /* of a request */ };

/* How to reach an upstream. */
struct call_way {
    struct upstream *upstream; /* borrowed, outlives the call */
    uint64_t connect_ms;       /* for each connection */
    struct sluice_span host;   /* when the request has none; empty: the endpoint's address */
};

/*
 * Ask; request->upstream is not looked at. NULL: a field or the target is malformed, the body is
 * too large, or no memory is left; done is then not called. Else done is called once, by the loop,
 * never from inside here, unless the call is cancelled first. It may start and cancel calls; the
 * call it tells of is over: forget the pointer.
 */
struct call *call_start(struct worker *worker, const struct call_way *way,
                        const struct chain_http_request *request, chain_http_fn *done, void *arg);

/* End it at once, done is not called. NULL is fine, and so is the call that done tells of. */
void call_cancel(struct call **call);

#endif /* PROXY_CALL_H */
