/*
 * attempt.h - one try of an exchange on one upstream connection.
 *
 * Here is what every try has: its lease, its state, what its failure means, what is noted of it.
 * How requests and responses are written and read is a codec's affair (attempt_codec.h), which the
 * attempt gets with its connection.
 *
 *   WAITING > CONNECTING > AWAITING > RESPONDING > ended
 *       \__________________/  a kept connection needs no connecting
 *
 *   from         to           by
 *   WAITING      CONNECTING   hold, when the leased connection is being dialled
 *   WAITING      AWAITING     hold, when it stands
 *   CONNECTING   AWAITING     attempt_on_connected
 *   AWAITING     RESPONDING   attempt_on_head, with the final one
 *   AWAITING     TUNNEL       attempt_on_head, with the 101 that was asked for
 *   any          ended        attempt_end, or attempt_fail
 *
 * An attempt tells its exchange what arrives (exchange_on_ functions). It is used again for the
 * next try.
 *
 * Owns:    its lease.
 * Threads: the worker's.
 */
#ifndef PROXY_ATTEMPT_H
#define PROXY_ATTEMPT_H

#include "http/h1_body.h"
#include "proxy/leg.h"
#include "proxy/reason.h"
#include "upstream/upstream.h"

struct exchange;
struct request;
struct sluice_attempt;

enum attempt_state {
    ATTEMPT_NONE,
    ATTEMPT_WAITING,
    ATTEMPT_CONNECTING,
    ATTEMPT_AWAITING,
    ATTEMPT_RESPONDING,
    ATTEMPT_TUNNEL /* raw bytes both ways: write_over is our end, whole the upstream's */
};

/* What a failed attempt may have done upstream. */
enum attempt_loss {
    ATTEMPT_UNSENT,  /* no byte left: surely not processed */
    ATTEMPT_STALE,   /* a kept connection ended without a byte of an answer: most likely not */
    ATTEMPT_REFUSED, /* sent, and surely not processed: the upstream has said so */
    ATTEMPT_SENT,    /* may have been processed */
};

/* Where HTTP/1 stands in its messages; attempt_h1.c's. */
struct attempt_h1 {
    struct h1_scan scan;
    struct h1_body body;
    bool chunked;     /* the request's content goes out in chunks */
    bool in_trailers; /* the response's content is whole, its trailer section is awaited */
    bool lost;        /* the upstream did not take all of what was sent */
    bool unusable;    /* the connection must not be used again */
    bool moved;       /* some of the response's content went by unseen */
};

/* The same of HTTP/2; attempt_h2.c's. */
struct attempt_h2 {
    struct alarm alarm;
    bool ended;    /* nothing more of the request is to be sent */
    bool connects; /* it asks for a tunnel (RFC 8441) */
};

/* Fields are private to attempt*.c, but for leg. */
struct attempt {
    struct leg leg; /* by the codec, once a connection is held */
    struct lease lease;
    struct exchange *ex; /* borrowed, owns us */
    enum attempt_state state;
    union {
        struct attempt_h1 h1;
        struct attempt_h2 h2;
    };
    unsigned n_interim;  /* 1xx heads so far */
    uint32_t reset_code; /* by which the endpoint has reset the stream, plus 1; 0: it has not */
    uint64_t sent_us;    /* when the request, as far as it goes, was sent; 0: not yet */
    bool whole;          /* the response has been read to its end */
    bool write_over;     /* the request was sent whole */
    bool judged_later;   /* a call of gRPC: its trailers say how it went */
    bool started;        /* a byte of the answer has come */
    /* Kept by exchange_chain.c, in the arena. */
    struct sluice_attempt *told; /* what plugins were told of this try; NULL: nothing is owed */
    unsigned n_told;             /* so many of them */
    struct request *request;     /* as this try sends it; NULL: as it is */
};

void attempt_init(struct attempt *attempt, struct exchange *ex);

/*
 * Lease a connection. OK: exchange_on_connected() was not called, go on at once. ERR_AGAIN:
 * exchange_on_connected() or exchange_on_attempt_failed() follows. Others: the reason is in
 * *reason.
 */
CHECKED enum err attempt_start(struct attempt *attempt, struct upstream *upstream,
                               enum reason *reason);

/*
 * Stop whatever it is doing. A connection is kept when the exchange on it is whole, else closed.
 * Safe at any time.
 */
void attempt_end(struct attempt *attempt);

/* Is there a connection, standing or being dialled, that the leg speaks on? */
static inline bool attempt_is_held(const struct attempt *attempt)
{
    return attempt->state > ATTEMPT_WAITING;
}

/* Does it wait for a connection that others have? */
bool attempt_is_queued(const struct attempt *attempt);

/* Its leg could not begin, as there was no room for it any more: fails, nobody has heard of it. */
void attempt_on_no_room(struct attempt *attempt);

/* It has taken too long: fails, for its exchange to be told. */
void attempt_expire(struct attempt *attempt);

/* Nothing more will come of it: its response has been read to the end, or it has ended. */
bool attempt_is_over(const struct attempt *attempt);

#endif /* PROXY_ATTEMPT_H */
