/*
 * session_h2.h - what the two files of a downstream HTTP/2 connection share; private to proxy.
 *
 * session_h2.c is the connection: bytes, its alarm, its end. session_stream.c is the streams: each
 * is the leg of an exchange. session_begin.c says when its requests begin.
 */
#ifndef PROXY_SESSION_H2_H
#define PROXY_SESSION_H2_H

#include "base/list.h"
#include "core/loop.h"
#include "http/h2.h"
#include "proxy/session_state.h"

/*
 * How far its end has come (RFC 9113 6.8): NOTICE says that it will end, and streams that are on
 * their way are still taken; FINAL, a round trip later, names the last one.
 */
enum multiplex_drain { DRAIN_NONE, DRAIN_NOTICE, DRAIN_FINAL };

/* Lives in the arena of its exchange. */
struct stream {
    struct leg leg;
    struct list link; /* of multiplex->streams, or ->fresh */
    struct multiplex *multiplex;
    struct exchange *ex;      /* borrowed: owns us */
    struct h2_stream *stream; /* NULL: it is lost */
    struct alarm alarm;       /* for the client to send, or to take */
    uint64_t framed_bytes;    /* when the alarm was set */
    uint64_t turn;            /* of the loop, in which it came */
    bool fresh;               /* its request is not begun yet */
    bool whole;               /* the request has been read to its end */
    bool sends_no_content;    /* HEAD: the response has none whatever its head says */
    bool connects;            /* an extended CONNECT */
    bool tunnel;
    bool sending; /* the alarm is for the client to take */
    bool waits;   /* for 100 Continue before it sends content */
    bool lost;    /* it was reset, by this code: */
    bool lost_by_client;
    uint8_t lost_code; /* enum h2_code, below H2_CODES */
};

struct multiplex {
    struct session *session; /* borrowed: owns us */
    struct h2 *h2;           /* owned */
    struct soon soon;        /* h2_run() is due */
    struct list streams;     /* of struct stream */
    struct list fresh;      /* of those not begun yet, the most urgent first; max_streams at most */
    struct stream *entered; /* whose exchange has been entered; left with the next one */
    uint64_t begun_us;
    uint64_t turn;          /* of the loop ... */
    uint32_t n_begun;       /* ... in which so many were begun */
    uint32_t untaken_bytes; /* by the client when the alarm last rang; 0: not since it took some */
    uint32_t n_streams;
    uint32_t quiet_since; /* no stream is open, as conn_tick() */
    uint8_t drain;        /* enum multiplex_drain */
    bool heard;           /* bytes have come since the alarm was set */
    bool hasty;           /* of this read, one was left free to begin with its content */
    bool running;         /* what was queued is handed over: a piece goes when its call returns */
    bool asked;           /* a PING is not answered yet */
    bool pinged;          /* after the first GOAWAY */
    bool rests;           /* the alarm is for h2_rest() */
    bool looks;           /* it is to look whether the client is there: SESSION_LOOK_MS */
    bool blocked;         /* the connection takes no more */
    bool ending;          /* nothing more is to be read or said: close it */
    bool cut;             /* it ends as a whole: no stream is reset for itself */
    /* The last stream that was reset: */
    uint8_t reset_code;   /* enum h2_code, below H2_CODES */
    uint8_t reset_reason; /* enum reason; REASON_NONE: none was */
    bool reset_by_client;
};

extern const struct h2_ops session_h2_ops;

/* -- session_h2.c ------------------------------------------------------------------ */

/*
 * Send what was framed. OK; ERR_AGAIN: it is queued, and nothing more is framed until that is gone;
 * else the connection cannot send.
 */
enum err multiplex_send(struct multiplex *multiplex);

/* Begin to end, or go on doing so. */
void multiplex_drain(struct multiplex *multiplex);

/* The number of streams has changed. */
void multiplex_set_alarm(struct multiplex *multiplex);

/* Go on in the loop's next breath. */
void multiplex_wake(struct multiplex *multiplex);

/* -- session_stream.c ---------------------------------------------------------------- */

/* Leave the exchange that was entered, if any: what was read for it goes upstream in one piece. */
void stream_leave(struct multiplex *multiplex);

/* The exchange of a stream; link: of multiplex->streams. */
struct exchange *stream_exchange(struct list *link);

/* Be the only one whose exchange is entered. */
struct exchange *stream_enter(struct stream *stream);

/* Its client is to send, or everything has come. */
void stream_await_content(struct stream *stream);

/* End all exchanges: nobody is there to be answered. */
void stream_cut_all(struct multiplex *multiplex, enum reason reason);

/* -- session_begin.c ------------------------------------------------------------------- */

/* Its exchange knows what it is to be: it begins when its turn comes. */
void stream_line_up(struct stream *stream);

/* Begin it, now. */
void stream_begin(struct stream *stream);

/* A read was taken whole, or another turn has come: begin what may begin now. */
void stream_begin_fresh(struct multiplex *multiplex);

#endif /* PROXY_SESSION_H2_H */
