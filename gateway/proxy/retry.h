/*
 * retry.h - what an exchange does when a try has failed: once more, and when, or not.
 *
 * policy/retry.h decides by rule; here are the facts it decides by, what is kept for another try
 * (content, the pause before it, what ended the ones before) and the numbers.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_RETRY_H
#define PROXY_RETRY_H

#include "core/alarm.h"
#include "policy/retry.h"
#include "proxy/attempt.h"
#include "proxy/reason.h"

struct exchange;
struct response;
struct text;

/* In the exchange's arena, made when it is first needed. */
struct retry {
    struct exchange *ex; /* borrowed, owns us */
    struct alarm pause;  /* until the next try */
    struct alarm try;    /* until the present one has taken too long */
    char *content;       /* in the arena: what has left of the request's content ... */
    size_t content_bytes, content_room;
    bool keeps;                 /* ... which is all of it */
    size_t dropped;             /* bytes of a failed response that were read away */
    uint16_t ends[LEASE_TRIES]; /* why tries ended: a status, or enum retry_cause */
    uint8_t n_ends;
    uint8_t n_settled; /* of them: an endpoint has said since how long to wait */
};

/* Before the first try of a request with content. */
void retry_begin(struct exchange *ex);

/* The exchange is over: nothing rings any more. */
void retry_end(struct exchange *ex);

/* A try has got its endpoint, and its time is limited. */
void retry_on_try(struct exchange *ex);

/* Content of the request is about to leave. */
void retry_keep(struct exchange *ex, struct sluice_span piece);

/* Content has come to its end; trailers, if any, are not kept. */
void retry_keep_end(struct exchange *ex, const struct fields *trailers);

/* Send what was kept: the head has just been sent once more. */
void retry_resend(struct exchange *ex);

/* A try ended without a response. True: the exchange is on its way to the next one. */
bool retry_on_failure(struct exchange *ex, enum reason reason, enum attempt_loss loss);

/* The same about a final head that has come. */
bool retry_on_response(struct exchange *ex, const struct response *response);

/* In EX_PAUSE: forget what comes of the failed response. */
void retry_drop(struct exchange *ex, size_t bytes);

/* Go on waiting in EX_PAUSE? */
bool retry_waits(struct exchange *ex);

/* The endpoint could not even be dialled: may another be, at once? */
bool retry_may_dial_on(struct exchange *ex);

enum { RETRY_REASONS_TEXT = LEASE_TRIES * 8 + 1 };

/* "reset,503": why each try but the last one ended; empty when there was one. */
struct sluice_span retry_reasons(const struct exchange *ex, char *room, size_t size);

#endif /* PROXY_RETRY_H */
