/*
 * hedge.h - attempts beside the first one, when that takes long: the first head wins.
 *
 * For idempotent requests without content, each on another endpoint, within the retry budget.
 * exchange->attempt leads: it is the one that the exchange sends to and that counts in the log.
 * A rival takes the lead when its head comes first, or when the leader fails; all others are
 * ended once a head has come.
 *
 * Owns:    the rivals.
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
    struct {
        struct attempt *attempt; /* in the arena; NULL: it is over, or leads */
        bool is_sent;
    } rival[HEDGE_MAX];
    unsigned n_started, n_running;
    uint64_t begun_us;
    enum hedge_result result;
};

/* Before the first try, where the upstream is to be hedged. */
void hedge_begin(struct exchange *ex);

/* End the rivals, if there are any; the leader goes on. */
void hedge_end(struct exchange *ex);

/* A rival's connection stands. */
void hedge_on_connected(struct exchange *ex, const struct attempt *attempt);

/*
 * One of some attempts has failed, or its answer is of no use. True: the others go on, and one of
 * them leads.
 */
bool hedge_on_failure(struct exchange *ex, const struct attempt *attempt);

/* A final head has come to attempt. True: another is waited for instead. */
bool hedge_on_response(struct exchange *ex, struct attempt *attempt,
                       const struct response *response);

/* "won", "lost" or NULL, for the access log. */
const char *hedge_text(const struct exchange *ex);

#endif /* PROXY_HEDGE_H */
