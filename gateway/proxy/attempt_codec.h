/*
 * attempt_codec.h - what a codec and its attempt say to each other; for attempt*.c only.
 *
 * A codec is a set of leg_ops: it writes requests and reads responses in the words of one version,
 * on the connection or the stream that the attempt's lease holds. What a response means is the
 * attempt's affair, and so is what a failure means; both are the same for all codecs.
 *
 * Threads: the worker's. Whatever is called here is bracketed by exchange_enter() and _leave().
 */
#ifndef PROXY_ATTEMPT_CODEC_H
#define PROXY_ATTEMPT_CODEC_H

#include "proxy/attempt.h"
#include "upstream/endpoint.h"

/*
 * HTTP/1. leg_ops.end gives the connection back (LEG_KEEP), or closes it; the attempt's state is
 * ATTEMPT_NONE then, but for a tunnel that must be seen to be cut.
 */
extern const struct leg_ops attempt_h1_ops;
extern const struct conn_ops attempt_h1_conn_ops;

/* The lease holds a connection of its own: nothing has been said on it. */
void attempt_h1_begin(struct attempt *attempt);

/* The kept connection has ended meanwhile: look before content is lost on it. */
bool attempt_h1_is_stale(const struct attempt *attempt);

/* HTTP/2. The lease has room for a stream, which is opened with the head. */
extern const struct stream_ops attempt_h2_stream_ops;

void attempt_h2_begin(struct attempt *attempt);

/*
 * May the head be sent now? A tunnel must be offered by the endpoint, which may not have said so
 * yet, or not do it: attempt_on_connected() follows, or it fails.
 */
bool attempt_h2_is_ready(struct attempt *attempt);

/* -- what codecs tell ------------------------------------------------------------- */

/* The connection stands. */
void attempt_on_connected(struct attempt *attempt);

/*
 * A whole head has come; its fields are borrowed for the call. The attempt may have ended when this
 * returns (its state is ATTEMPT_NONE).
 */
void attempt_on_head(struct attempt *attempt, struct response *response);

/* A head that opens the tunnel that was asked for. */
void attempt_on_tunnel(struct attempt *attempt, struct response *response);

/* The content is whole; trailers may be NULL. */
void attempt_on_end(struct attempt *attempt, const struct fields *trailers);

/*
 * It has failed, and what may have been done upstream is known by loss. The lease has ended when
 * this returns.
 */
void attempt_fail(struct attempt *attempt, enum endpoint_failure failure, enum attempt_loss loss,
                  const char *detail);

/* No sign of the upstream for as long as it was given: fails unless somebody else is to blame. */
void attempt_on_silence(struct attempt *attempt);

#endif /* PROXY_ATTEMPT_CODEC_H */
