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

/*
 * Make our own answer one that a gRPC client understands: 200 and trailers only, in ex->response;
 * ex->body is empty then. Nothing to be done for one that has a grpc-status already. ERR_LIMIT,
 * ERR_MEMORY.
 */
CHECKED enum err grpc_answer(struct exchange *ex);

#endif /* PROXY_GRPC_H */
