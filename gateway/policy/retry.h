/*
 * retry.h - when a request is sent again: the rule as configured, and the decision.
 *
 * An upstream has a whole rule; a route may say some of it otherwise. The words are those of
 * Envoy and nginx where they agree.
 *
 * No I/O, no threads.
 */
#ifndef POLICY_RETRY_H
#define POLICY_RETRY_H

#include "base/text.h"
#include "config/shape.h"
#include "http/message.h"

/* What ends a try. X(symbol, name in the configuration and in metrics) */
#define RETRY_CAUSES(X)                                                                            \
    X(CONNECT, "connect")                                                                          \
    X(REFUSED, "refused")                                                                          \
    X(RESET, "reset")                                                                              \
    X(TIMEOUT, "timeout")                                                                          \
    X(GRPC, "grpc")                                                                                \
    X(STATUS, "status")

#define RETRY_CAUSE_MEMBER(symbol, name) RETRY_##symbol,
enum retry_cause { RETRY_CAUSES(RETRY_CAUSE_MEMBER) RETRY_CAUSE_COUNT };
#undef RETRY_CAUSE_MEMBER

/* "connect"; a static string. */
const char *retry_cause_name(enum retry_cause cause);

enum {
    RETRY_ATTEMPTS_MAX = 9,
    RETRY_BODY_MAX = 256 * 1024, /* bytes: a request's memory holds them twice while they grow */
    RETRY_STATUS_FIRST = 400,
    RETRY_STATUS_LAST = 599,
};

struct retry_backoff {
    uint64_t base_ms, max_ms;
};

struct retry_rule {
    uint64_t attempts;    /* after the first */
    struct items on;      /* as written */
    struct items grpc;    /* of int: enum grpc_status, of answers that are trailers only */
    struct items methods; /* of int: enum method */
    uint64_t per_try_ms;  /* 0: none */
    uint64_t body_bytes;  /* of content kept to be sent again */
    struct retry_backoff backoff;
    /* What follows is made of the above. */
    uint32_t causes;      /* bit 1 << enum retry_cause; never RETRY_STATUS, RETRY_GRPC */
    uint32_t grpc_bits;   /* bit 1 << enum grpc_status */
    uint32_t method_bits; /* bit 1 << enum method */
    uint64_t status_bits[(RETRY_STATUS_LAST - RETRY_STATUS_FIRST + 64) / 64];
    uint32_t written; /* bits of what is written here, for retry_rule_over() */
};

/* A SHAPE_STRUCT of struct retry_rule without presets: whoever has a whole rule gives them. */
extern const struct shape retry_shape;

/* The preset of a whole rule. */
#define RETRY_PRESET                                                                               \
    "{ attempts: 2, on: [ connect, refused, reset ], methods: [ GET, HEAD, PUT, DELETE, OPTIONS, " \
    "TRACE ], "                                                                                    \
    "per_try_timeout: 0s, body: 64KiB, backoff: { base: 25ms, max: 250ms } }"

/* "connect, reset, 503, 500-599": what is retried. */
void retry_print_on(const struct retry_rule *rule, struct text *out);

/* base, with what own writes instead. */
void retry_rule_over(struct retry_rule *out, const struct retry_rule *base,
                     const struct retry_rule *own);

/* Could a request of this method that has left be sent again? */
bool retry_may_resend(const struct retry_rule *rule, enum method method);

bool retry_names_status(const struct retry_rule *rule, unsigned status);

/* -- the decision --------------------------------------------------------- */

struct retry_case {
    enum retry_cause cause;
    unsigned status; /* RETRY_STATUS, RETRY_GRPC */
    enum method method;
    unsigned retries; /* of this request so far */
    bool unsent;      /* surely not processed: no byte of it has left. So is what was refused */
    bool whole;       /* what has left of its content is still here */
};

enum retry_answer {
    RETRY_GO,
    RETRY_NOT_NAMED,       /* this is not what the rule is about */
    RETRY_NO_ATTEMPT_LEFT, /* as often as the rule allows */
    RETRY_NOT_THE_METHOD,  /* it may have been processed, and must not be twice */
    RETRY_CONTENT_GONE,    /* content has left that was not kept */
};

/* The first of these that holds, in this order. */
enum retry_answer retry_decide(const struct retry_rule *rule, const struct retry_case *it);

/*
 * How long to wait before retry number n (from 0): evenly from 0 to base doubled n times, at most
 * max. random is any 64-bit random number.
 */
uint64_t retry_pause_ms(const struct retry_backoff *backoff, unsigned n, uint64_t random);

/*
 * The same when a response said Retry-After (RFC 9110 10.2.3): no sooner than that. False when
 * that is later than max, or no number of seconds: then nobody should wait for it.
 */
bool retry_after_ms(const struct retry_backoff *backoff, struct sluice_span retry_after,
                    uint64_t *pause_ms);

/*
 * The same of a call of gRPC that ended with grpc-retry-pushback-ms: exactly then. False when that
 * is later than max_ms, negative or no number: it is not to be sent again.
 */
bool retry_pushback_ms(struct sluice_span pushback, uint64_t max_ms, uint64_t *pause_ms);

#endif /* POLICY_RETRY_H */
