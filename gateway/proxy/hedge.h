/*
 * hedge.h - a second attempt beside the first one, when that takes long: the first head wins.
 *
 * For idempotent requests without content, one more attempt at most, on another endpoint, within
 * the retry budget. exchange->attempt leads: it is the one that the exchange sends to and that
 * counts in the log. The rival takes the lead when its head comes first, or when the leader
 * fails; whoever has lost is ended. When one of the two is left, nothing of this remains.
 *
 * Owns:    the rival.
 * Threads: the worker's.
 */
#ifndef PROXY_HEDGE_H
#define PROXY_HEDGE_H

#include "core/alarm.h"
#include "proxy/attempt.h"

struct exchange;
struct response;

enum hedge_result { HEDGE_NONE, HEDGE_RUNS, HEDGE_WON, HEDGE_LOST };

/* In the exchange's arena, made only where hedging is configured. */
struct hedge {
    struct exchange *ex; /* borrowed, owns us */
    struct alarm after;
    struct attempt *rival; /* in the arena; NULL: none is running */
    enum hedge_result result;
    bool rival_sent;
};

/* Before the first try, where the upstream is to be hedged. */
void hedge_begin(struct exchange *ex);

/* End the rival, if there is one; the leader goes on. */
void hedge_end(struct exchange *ex);

/* The rival's connection stands. */
void hedge_on_connected(struct exchange *ex);

/*
 * One of two attempts has failed, or its answer is of no use. True: the other goes on alone and
 * leads now.
 */
bool hedge_on_failure(struct exchange *ex, const struct attempt *attempt);

/* A final head has come to attempt. True: the other is waited for instead. */
bool hedge_on_response(struct exchange *ex, struct attempt *attempt,
                       const struct response *response);

/* "won", "lost" or NULL, for the access log. */
const char *hedge_text(const struct exchange *ex);

#endif /* PROXY_HEDGE_H */
