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

#include "http/message.h"

struct call;
struct upstream;
struct worker;

enum { CALL_SENT_MAX = 1024 * 1024, CALL_FIELDS_MAX = 256 /* of a request */ };

/* Borrowed for the call of call_start(), but for upstream, which must outlive the call. */
struct call_request {
    struct upstream *upstream;
    uint64_t connect_ms; /* for each connection */
    struct sluice_span method;
    struct sluice_span target; /* path and query */
    struct sluice_span host;   /* empty: the endpoint's address */
    const struct sluice_pair *fields;
    size_t n_fields;
    struct sluice_span body; /* at most CALL_SENT_MAX */
    uint64_t total_ms;
    size_t max_body; /* of the answer */
};

/* How it ended. Everything lives for the length of call_done_fn. */
struct call_answer {
    enum sluice_http_end end;
    const struct response *response; /* NULL unless OK */
    struct sluice_span body;
    struct arena *arena; /* for what the callee makes of it */
};

/*
 * Called by the loop once for each call that is not cancelled, never from inside call_start().
 * May start and cancel calls; the call it tells of is over: forget the pointer.
 */
typedef void call_done_fn(void *arg, const struct call_answer *answer);

/*
 * Ask. NULL: a field or the target is malformed, the body is too large, or no memory is left; done
 * is then not called.
 */
struct call *call_start(struct worker *worker, const struct call_request *request,
                        call_done_fn *done, void *arg);

/* End it at once, done is not called. NULL is fine, and so is the call that done tells of. */
void call_cancel(struct call **call);

#endif /* PROXY_CALL_H */
