/*
 * redis.h - a worker's client of Redis: commands out, answers to whom they belong.
 *
 * Connections are made when the first command comes, shared by all commands, and made again when
 * they break, after a time that grows from 50 ms to 5 s with jitter. While none stands or is being
 * made, commands fail at once. Each command has a deadline of its own; its answer, when it
 * comes later, is read and thrown away. Commands on several connections have no order.
 *
 * Owns:    its connections, and each call until it has been told or cancelled.
 * Threads: the loop's; the counters are for any to read.
 */
#ifndef NET_REDIS_H
#define NET_REDIS_H

#include "base/count.h"
#include "base/span.h"

#include <stdbool.h>

struct loop;
struct redis;
struct redis_call;
struct redis_peer;
struct rng;

enum {
    REDIS_ANSWER_MAX = 64 * 1024,   /* bytes; a longer one costs the connection */
    REDIS_COMMAND_MAX = 256 * 1024, /* bytes */
};

struct redis_counters {
    struct counter commands;        /* begun */
    struct counter answers, errors; /* those that came in time; of these, those of kind ERROR */
    struct counter timeouts, unreachable, refused; /* refused: the queue was full */
    struct counter connects, connect_failures, breaks;
    struct counter waiting, in_flight, connections; /* now */
    struct histogram time;                          /* of answers */
};

/*
 * Called by the loop once for each call that is not cancelled, never from inside redis_send().
 * reply is valid for the length of the call. May send and cancel; the call it tells of is over:
 * forget the pointer.
 */
typedef void redis_done_fn(void *arg, const struct sluice_redis_reply *reply);

/* -- life ------------------------------------------------------------- */

/* rng and counters are borrowed, and outlive us. */
struct redis *redis_new(struct loop *loop, struct rng *rng, struct redis_counters *counters);

/* Cancels what is under way; without redis_stop() before, the loop must turn once more. */
void redis_free(struct redis **redis);

/*
 * Use this peer from now on (shared; NULL: none). The same again changes nothing; else what was
 * sent ends where it was sent, and what waits goes to the new one.
 */
void redis_set_peer(struct redis *redis, struct redis_peer *peer);

/*
 * Close all connections and send nothing more; what is under way is told at the end of the turn.
 * One more turn, then redis_free() has nothing left to close.
 */
void redis_stop(struct redis *redis);

/* -- actions ---------------------------------------------------------- */

/*
 * Send one command, argv[0] is its name; everything is copied. NULL: there is no peer, the queue
 * is full, the command is too long, or no memory is left; done is then not called.
 */
struct redis_call *redis_send(struct redis *redis, const struct sluice_span *argv, size_t n,
                              uint64_t timeout_ms, redis_done_fn *done, void *arg);

/* done will not be called. NULL is fine, and so is the call that done tells of. */
void redis_cancel(struct redis_call **call);

/* -- questions -------------------------------------------------------- */

bool redis_has_peer(const struct redis *redis);

#endif /* NET_REDIS_H */
