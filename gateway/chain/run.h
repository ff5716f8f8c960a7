/*
 * run.h - the phases of an exchange, for whoever runs exchanges (proxy/).
 *
 * The owner of an exchange begins a struct sluice_exchange when plugins serve it, and calls the
 * phases as its story gets there. A phase that answers CHAIN_WAITS is called again, with the same
 * arguments where it has any, when ops->wake() has said so.
 *
 * Threads: the exchange's worker.
 */
#ifndef CHAIN_RUN_H
#define CHAIN_RUN_H

#include "abi/sluice_plugin.h"
#include "chain/ops.h"

struct arena;
struct chain;
struct chain_view;

/*
 * Upstreams whose plugins may join an exchange: the one that was chosen, and the one that these
 * send it to instead.
 */
enum { CHAIN_BACKS = 2 };

enum chain_answer {
    CHAIN_GOES_ON,
    CHAIN_WAITS,     /* ops->wake() follows, or the end */
    CHAIN_REPLIES,   /* a plugin answers: chain_reply() says what */
    CHAIN_FAILS,     /* a plugin could not do its work, and its entry is closed */
    CHAIN_TIMES_OUT, /* the same: it took too long */
    CHAIN_TOO_LARGE, /* content that a plugin wants whole is larger than it may be */
};

/* An answer that a plugin makes, or may change. Spans live as long as the exchange. */
struct chain_reply {
    unsigned status;
    struct sluice_span reason, content_type, body;
    const struct sluice_pair *fields; /* to add */
    size_t n_fields;
};

/* -- life ------------------------------------------------------------------ */

/* In the arena; NULL when out of memory. front may be empty, not NULL. */
struct sluice_exchange *chain_begin(struct chain_view *view, const struct chain *front,
                                    struct arena *arena, void *owner);

/*
 * The upstream is known: its plugins come after those before. CHAIN_BACKS times at most.
 * ERR_MEMORY.
 */
CHECKED enum err chain_extend(struct sluice_exchange *ex, const struct chain *back);

/* Drop all that is under way and call on_done, once, whatever happened. NULL is fine. */
void chain_end(struct sluice_exchange *ex);

/*
 * Does somebody wait for the end: a plugin that will be told of it, or one with something under
 * way? If not, chain_end() may come before it.
 */
bool chain_owes_end(const struct sluice_exchange *ex);

/* -- phases ------------------------------------------------------------------ */

enum chain_answer chain_request_head(struct sluice_exchange *ex);

/* Of the answer of CHAIN_REPLIES. */
const struct chain_reply *chain_reply(const struct sluice_exchange *ex);

/* Let plugins change an answer that the gateway makes for a reason of its own. */
enum chain_answer chain_local_reply(struct sluice_exchange *ex, struct chain_reply *reply);

/* Begin again with another response when one failed before its head went out. */
enum chain_answer chain_response_head(struct sluice_exchange *ex);
void chain_response_reset(struct sluice_exchange *ex);

/*
 * Before a try, and at its end; the second is only told to those who saw the first: *seen of them,
 * which is the caller's to keep, as several tries may be under way.
 */
enum chain_answer chain_attempt(struct sluice_exchange *ex, const struct sluice_attempt *attempt,
                                unsigned *seen);
void chain_attempt_done(struct sluice_exchange *ex, const struct sluice_attempt *attempt,
                        unsigned seen);

/* -- content, in CHAIN_REQUEST and CHAIN_RESPONSE, when chain_sees_body() ------------ */

/*
 * A part has come; what passes goes to ops->send(), or is collected when somebody wants it whole.
 * CHAIN_WAITS: hold the peer; what still comes of this turn may be given.
 */
enum chain_answer chain_body(struct sluice_exchange *ex, enum chain_flow flow,
                             struct sluice_span part, bool last);

/* After ops->wake(), and when the upstream's plugins have joined. */
enum chain_answer chain_body_go_on(struct sluice_exchange *ex, enum chain_flow flow);

/* The content of an answer of our own: *content is what plugins made of it. */
enum chain_answer chain_reply_body(struct sluice_exchange *ex, struct sluice_span *content);

/* Trailers have come: op->fields() gives them. */
enum chain_answer chain_trailers(struct sluice_exchange *ex, enum chain_flow flow);

bool chain_sees_body(const struct sluice_exchange *ex, enum chain_flow flow);

/* Its length is open from now on. */
bool chain_edits_body(const struct sluice_exchange *ex, enum chain_flow flow);

/* It goes on only when it is whole. */
bool chain_wants_whole(const struct sluice_exchange *ex, enum chain_flow flow);

/* A part is held by a plugin: the end of the content has not been sent on. */
bool chain_body_waits(const struct sluice_exchange *ex, enum chain_flow flow);

/* It is whole, and has passed all: valid until the exchange ends or the response is reset. */
bool chain_whole(const struct sluice_exchange *ex, enum chain_flow flow,
                 struct sluice_span *content);

/* -- questions -------------------------------------------------------------------- */

/* Does anybody look at this phase? */
bool chain_sees(const struct sluice_exchange *ex, enum sluice_phase phase);

/* Words that plugins said for the access log, "a,b"; empty: none. */
struct sluice_span chain_notes(const struct sluice_exchange *ex);

/* The value of an attribute by name, the gateway's own not among them; false: not set. */
bool chain_attribute(const struct sluice_exchange *ex, struct sluice_span name,
                     struct sluice_span *value);

#endif /* CHAIN_RUN_H */
