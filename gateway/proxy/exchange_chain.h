/*
 * exchange_chain.h - where an exchange meets its plugins.
 *
 * All of it is called only when the exchange has plugins (ex->chain), but for
 * exchange_chain_begin().
 */
#ifndef PROXY_EXCHANGE_CHAIN_H
#define PROXY_EXCHANGE_CHAIN_H

#include "chain/run.h"
#include "proxy/exchange.h"

/* What the chain asks of an exchange of ours. */
extern const struct chain_ops exchange_chain_ops;

/*
 * The head is matched (route NULL: by no route). True: plugins serve it, the exchange goes on in
 * EX_PASS. False: none do, or there was no memory and it is refused.
 */
bool exchange_chain_begin(struct exchange *ex);

/* Let the request's head pass. OK: it may go on. ERR_AGAIN: wait. Others: it has been refused. */
CHECKED enum err exchange_chain_pass(struct exchange *ex);

/* The upstream was chosen: OK when it has no plugins of its own, ERR_AGAIN: back to EX_PASS. */
CHECKED enum err exchange_chain_extend(struct exchange *ex);

/*
 * There is a connection to try on. False: the exchange has been refused, or, of a hedge, the try
 * alone: end it.
 */
bool exchange_chain_attempt(struct exchange *ex, struct attempt *attempt);

/* The same where there could be no connection: nobody is asked whether it may be tried. */
void exchange_chain_attempt_lost(struct exchange *ex, struct attempt *attempt);

/*
 * The try has ended: with a response (status), for a reason, or by our own will (0, REASON_NONE).
 * Told once: what comes after that is ignored.
 */
void exchange_chain_attempt_done(struct exchange *ex, struct attempt *attempt, unsigned status,
                                 enum reason reason, bool will_retry);

/*
 * Let the response's head pass; it is in ex->response. OK: it may go out. ERR_AGAIN: wait. Others:
 * a plugin failed, *reason says how.
 */
CHECKED enum err exchange_chain_return(struct exchange *ex, enum reason *reason);

/* -- content ------------------------------------------------------------------- */

/* Does a plugin look at content of this direction? */
bool exchange_chain_sees(const struct exchange *ex, enum chain_flow flow);

/* Does a plugin hold it: is its end not sent on yet? */
bool exchange_chain_holds(const struct exchange *ex, enum chain_flow flow);

/* A part, or the end (last), has come: let plugins see it, and pass on what they leave. */
void exchange_chain_content(struct exchange *ex, enum chain_flow flow, struct sluice_span piece,
                            bool last, const struct fields *trailers);

/*
 * The request's head has passed all: frame its content as plugins leave it. ERR_AGAIN while it
 * is being collected. Others: it has been refused.
 */
CHECKED enum err exchange_chain_collect(struct exchange *ex);

/* The same of the response; false while it is being collected, or when it has been refused. */
bool exchange_chain_frame(struct exchange *ex);

/* For exchange_chain.c: what has passed all plugins; a flow waits no longer. */
void exchange_chain_send(struct exchange *ex, enum chain_flow flow, struct sluice_span part,
                         bool last);
void exchange_chain_wake(struct exchange *ex, enum chain_flow flow);

/* Is it the response's content that is waited for? */
bool exchange_chain_collects(const struct exchange *ex);

/* Let plugins see the content of an answer of our own; as exchange_chain_return(). */
CHECKED enum err exchange_chain_reply_content(struct exchange *ex, enum reason *reason);

/* Copy the response's head: what it was read into is about to be used again. */
CHECKED enum err exchange_chain_keep(struct exchange *ex);

/* Let the plugins change an answer of our own: ex->response and ex->body. */
void exchange_chain_local_reply(struct exchange *ex);

/* It is about to be answered by ourselves: whatever the chain was at is over. */
void exchange_chain_refused(struct exchange *ex);

/* It is over: on_done. */
void exchange_chain_end(struct exchange *ex);

#endif /* PROXY_EXCHANGE_CHAIN_H */
