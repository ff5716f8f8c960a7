/*
 * grpc.h - what an exchange does for gRPC: answers of our own in its words, and what calls end
 * with.
 *
 * Messages are none of our business: a call is an exchange like any other, whose end is told by
 * grpc-status, in the trailers or (trailers-only) in the head.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_GRPC_H
#define PROXY_GRPC_H

#include "http/grpc_status.h"

struct attempt;
struct exchange;

/* Is the request a call? By its Content-Type. */
bool grpc_is_call(const struct exchange *ex);

/* The end that these fields tell, if any, for log and metrics; of a response's head or trailers. */
void grpc_note(struct exchange *ex, const struct fields *fields);

/* The head of the response goes out: what it tells, and whether trailers may end it. */
void grpc_note_head(struct exchange *ex);

/*
 * Make our own answer one that a gRPC client understands: 200 and trailers only, in ex->response;
 * ex->body is empty then. Nothing to be done for one that has a grpc-status already. ERR_LIMIT,
 * ERR_MEMORY.
 */
CHECKED enum err grpc_answer(struct exchange *ex);

/*
 * The head of the response is out and ex->reason ends it: tell the client by trailers. ERR_REFUSED:
 * that cannot be, as a message is cut in the middle, or the response has no trailers or has told
 * its end already. ERR_LIMIT, ERR_MEMORY.
 */
CHECKED enum err grpc_tell_end(struct exchange *ex);

#endif /* PROXY_GRPC_H */
