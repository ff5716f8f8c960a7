/*
 * h2.h - one HTTP/2 connection as a machine without sockets (RFC 9113), for either side.
 *
 * Bytes from the peer go in by h2_feed(), which calls back with heads, content, ends and losses of
 * streams; what is to be sent comes out of h2_pull(), piece by piece, through ops->put and
 * ops->lend. nghttp2 does frames, HPACK and flow control; what a message may look like is decided
 * by the rules that HTTP/1 heads are read by (h2_head.h), so that whatever is forwarded by either
 * version is the same message.
 *
 * The owner calls h2_pull() after everything that may have something to send, when its connection
 * takes bytes; never from inside a callback. It says h2_block() when the connection takes no more:
 * no content is framed until h2_unblock(). A stream's content that cannot go now is kept in a
 * queue of the stream, h2_flush() says ERR_AGAIN, and on_drained follows: who hears ERR_AGAIN sends
 * no more until then, so a queue holds at most what one read brought.
 *
 * Flow control of what comes in is the owner's pace: the window of a stream opens again as content
 * is handed over, and content that comes while the stream is held is queued, one window of it at
 * most.
 *
 * Owns:    the streams, their queues, nghttp2's session.
 * Threads: one, that of its bench.
 */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "base/list.h"
#include "base/slab.h"
#include "http/h1_parse.h"

struct h2;
struct h2_chunk;
struct h2_section;
struct h2_stream;

enum h2_role { H2_SERVER, H2_CLIENT };

/* Error codes of RFC 9113 7 that are said here by name; others are numbers. */
enum h2_code {
    H2_NO_ERROR = 0,
    H2_PROTOCOL_ERROR = 1,
    H2_INTERNAL_ERROR = 2,
    H2_FLOW_CONTROL_ERROR = 3,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11,
    H2_INADEQUATE_SECURITY = 12,
    H2_HTTP_1_1_REQUIRED = 13,
    H2_CODES = 15 /* that have a name, and one for all others */
};

/* "CANCEL"; "UNKNOWN" for a number that has no name. */
const char *h2_code_name(uint32_t code);

/* Why a connection or a stream was ended by us. X(symbol, name in metrics, text) */
#define H2_CAUSES(X)                                                                               \
    X(PROTOCOL, "protocol_error", "frames that break the protocol")                                \
    X(RAPID_RESET, "rapid_reset", "the peer resets too many streams")                              \
    X(PROVOKED_RESET, "provoked_reset", "the peer makes us reset too many streams")                \
    X(CONTINUATIONS, "continuation_flood", "too many CONTINUATION frames")                         \
    X(SETTINGS, "settings_flood", "too many SETTINGS frames")                                      \
    X(PINGS, "ping_flood", "too many PING frames")                                                 \
    X(EMPTY_FRAMES, "empty_frame_flood", "too many frames that carry nothing")                     \
    X(PRIORITIES, "priority_flood", "too many priority frames")                                    \
    X(TINY_WINDOWS, "tiny_window_flood", "too many small window updates")                          \
    X(HEAD_BYTES, "header_list_size", "header lists far beyond the limit")                         \
    X(CONTROL_QUEUE, "control_queue", "the peer does not read what it makes us say")               \
    X(SLOW_STREAM, "slow_stream", "a stream's window stays shut")                                  \
    X(MEMORY, "memory", "out of memory")

#define H2_CAUSE_MEMBER(symbol, name, text) H2_CAUSE_##symbol,
enum h2_cause { H2_CAUSES(H2_CAUSE_MEMBER) H2_CAUSE_COUNT };
#undef H2_CAUSE_MEMBER

const char *h2_cause_name(enum h2_cause cause);
const char *h2_cause_text(enum h2_cause cause);

/*
 * How much the peer may do. The counts hold for each interval of interval_ms; beyond one the
 * connection is ended with ENHANCE_YOUR_CALM. 0: no limit.
 */
struct h2_limits {
    uint32_t interval_ms;
    uint32_t resets;          /* of streams that had no whole answer yet; or half of all streams */
    uint32_t provoked_resets; /* by us, for what the peer did wrong */
    uint32_t settings;
    uint32_t pings;        /* and as many more as there were frames of content */
    uint32_t empty_frames; /* DATA without content or end; HEADERS without a field */
    uint32_t priorities;
    uint32_t tiny_windows;  /* updates of a window by less than 256 bytes */
    uint32_t continuations; /* of one head, whatever the interval */
    uint32_t control_queue; /* answers to SETTINGS and PING that wait to be sent, at any time */
};

struct h2_settings {
    uint32_t max_streams;       /* that the peer may have open; a client says 0 */
    uint32_t window;            /* of each stream: what the peer may send before it is taken */
    uint32_t connection_window; /* of all streams together */
    uint32_t line_bytes;        /* of a request's method and path */
    uint32_t head_bytes;        /* of a head, counted as RFC 9113 10.5.1 does; at most 1 MiB */
    uint16_t field_count;
    uint32_t decoder_table; /* bytes of HPACK's table for what we read */
    uint32_t encoder_table; /* the same, for what we write */
    bool extended_connect;  /* server: RFC 8441 is offered */
    struct h2_limits limits;
};

/* Why a stream is no more. */
struct h2_loss {
    uint32_t code; /* of RST_STREAM or GOAWAY */
    bool by_peer;  /* it said so; else we did, or the connection is gone */
    /*
     * The peer has surely not processed the request: REFUSED_STREAM, or a GOAWAY that leaves it
     * out.
     */
    bool unprocessed;
    const char *detail; /* static: what was wrong with it, or NULL */
};

/*
 * All are called from inside h2_feed(), h2_run() or h2_fail(), but put, lend, wake and on_cause,
 * which any call may make. Spans and tables are borrowed for the call. Each may call everything
 * that takes a stream, and nothing that takes bytes in or pulls.
 */
struct h2_ops {
    /*
     * Server: a request. bytes is what its spans and fields point into, as request_keep() wants
     * it. Set stream->user, or leave the stream with h2_leave(). request->framing is NONE when the
     * head was the end.
     */
    void (*on_request)(struct h2_stream *stream, const struct request *request,
                       struct sluice_span bytes);
    /*
     * Server: the head of a request broke a rule, and nothing of it is told: to be answered, or
     * reset (PROTOCOL_ERROR is what RFC 9113 8.1.1 wants).
     */
    void (*on_refused)(struct h2_stream *stream, enum h1_rule rule);
    /*
     * Client: a response, interim ones too. A head that was the end is framed as one of length 0,
     * unless the response has no content anyway; on_end follows.
     */
    void (*on_response)(struct h2_stream *stream, const struct response *response,
                        struct sluice_span bytes);
    /* Once, after h2_await_content(): content is there, or the end. The owner may hold it. */
    void (*on_content)(struct h2_stream *stream);
    /* Not while held. piece lives until h2_feed() or h2_run() returns. */
    void (*on_body)(struct h2_stream *stream, struct sluice_span piece);
    /*
     * The peer's side is over in order; trailers may be NULL. Not while content is held. Server:
     * not after a head that was the end.
     */
    void (*on_end)(struct h2_stream *stream, const struct fields *trailers);
    /*
     * The stream is over before both sides had ended, by neither h2_reset() nor h2_leave(). Once;
     * stream->user is then forgotten.
     */
    void (*on_lost)(struct h2_stream *stream, const struct h2_loss *loss);
    /* After ERR_AGAIN of h2_flush(): everything is framed now. */
    void (*on_drained)(struct h2_stream *stream);
    /* Client: no stream above last will be answered; those were or will be lost. */
    void (*on_goaway)(struct h2 *h2, uint32_t last, uint32_t code);
    /* The peer's SETTINGS: h2_stream_room() may have changed. */
    void (*on_settings)(struct h2 *h2);
    /* The peer has answered our PING. */
    void (*on_pong)(struct h2 *h2);
    /* A stream or the connection was ended by us for this. At most once each. */
    void (*on_cause)(struct h2 *h2, enum h2_cause cause);
    /* Call h2_run() before long; not asked again until then. Never from inside the call. */
    void (*wake)(struct h2 *h2);
    /* Add to what is sent: a copy; or bytes that live until who lent them flushes. */
    void (*put)(struct h2 *h2, struct sluice_span bytes);
    void (*lend)(struct h2 *h2, struct sluice_span bytes);
};

/* Bytes that a stream keeps, oldest first. Private to h2_queue.c. */
struct h2_queue {
    struct h2_chunk *first, *last; /* owned; NULL: empty */
    uint32_t bytes;
};

/* One stream. Fields are private to h2*.c, but for user, h2 and id. */
struct h2_stream {
    void *user; /* the owner's */
    struct h2 *h2;
    uint32_t id;
    struct list link;            /* of h2->streams */
    struct list ready;           /* of h2->ready: has content to hand over */
    struct list waiting;         /* of h2->waiting: was told ERR_AGAIN */
    struct h2_queue out;         /* content to send that is not framed yet */
    struct h2_queue in;          /* content that came while held */
    struct sluice_span lent;     /* borrowed until h2_flush(): to be sent behind out */
    struct h2_section *trailers; /* owned: to be sent; NULL: none */
    struct h2_section *kept;     /* owned: that came while held; NULL: none */
    struct h2_loss loss;         /* to be told */
    int64_t left;                /* of what Content-Length announced; BODY_UNKNOWN: nothing */
    uint64_t framed;             /* bytes of our content that went */
    uint32_t flags;              /* private bits */
    uint8_t method;              /* enum method of the request */
    uint8_t urgency;             /* of the request: 0 to 7, as RFC 9218 has it; server */
};

/* -- what the connections of one thread share -------------------------- */

struct h2_bench;

/* Scratch memory, and nghttp2's callbacks. Outlives its connections. */
struct h2_bench *h2_bench_new(void);
void h2_bench_free(struct h2_bench **bench);

/* Give back what bursts leave with the other slabs of the thread. set outlives the bench. */
void h2_bench_join(struct h2_bench *bench, struct slab_set *set);

/* What it holds of streams, and of bytes that they queue; for any thread, while the bench lives. */
struct slab_look h2_bench_streams(const struct h2_bench *bench);
struct slab_look h2_bench_queues(const struct h2_bench *bench);

/* Memory for streams and for what they queue; for any thread, while the bench lives. */
size_t h2_bench_bytes(const struct h2_bench *bench);

/* -- life --------------------------------------------------------------- */

/*
 * NULL when out of memory. settings and ops outlive the connection; settings until others are set.
 * Our SETTINGS are the first thing to be pulled.
 */
struct h2 *h2_new(struct h2_bench *bench, enum h2_role role, const struct h2_settings *settings,
                  const struct h2_ops *ops, void *owner);

/* Streams that are still there are forgotten: see h2_fail(). Not from inside a callback. */
void h2_free(struct h2 **h2);

/*
 * The connection is gone, or given up: on_lost for each stream that has a user, but for answers
 * that have come whole: what is held of them is handed over by h2_run() as ever, and on_end comes.
 */
void h2_fail(struct h2 *h2, const struct h2_loss *loss);

/* -- bytes ---------------------------------------------------------------- */

/*
 * Take all of bytes. now_us is any clock that goes forward; limits are counted by it.
 * OK, or the connection is over: what says so (GOAWAY) is to be pulled and sent before it is
 * closed. ERR_PROTOCOL: the peer broke the rules; ERR_LIMIT: it went too far (on_cause told);
 * ERR_MEMORY. Streams then go by h2_fail().
 */
CHECKED enum err h2_feed(struct h2 *h2, struct sluice_span bytes, uint64_t now_us);

/*
 * Hand over content that was released, call on_lost and on_drained where they are due; then pull.
 */
void h2_run(struct h2 *h2);

/*
 * Put and lend what may be sent now: a bounded number of bytes, the rest by h2_run() (wake is
 * called).
 */
void h2_pull(struct h2 *h2);

/* The connection takes no more, takes more again (h2_run() follows). */
void h2_block(struct h2 *h2);
void h2_unblock(struct h2 *h2);

/* -- sending on a stream ----------------------------------------------------- */

struct h2_request_head {
    const struct request *request; /* method and fields; dropped and hop-by-hop ones are left out */
    struct sluice_span scheme, authority, target;
    struct sluice_span protocol; /* extended CONNECT (RFC 8441) when not empty */
    int64_t length;              /* for Content-Length; BODY_UNKNOWN: none */
    bool last;                   /* no content follows */
};

/*
 * Client: open a stream. ERR_LIMIT: h2_stream_room() is 0, or the head is too large to be sent;
 * ERR_MEMORY.
 */
CHECKED enum err h2_send_request(struct h2 *h2, const struct h2_request_head *head, void *user,
                                 struct h2_stream **stream);

/*
 * Server: a head, interim ones too. length as above. last: no content follows. ERR_CLOSED: the
 * stream is gone; ERR_MEMORY.
 */
CHECKED enum err h2_send_response(struct h2_stream *stream, const struct response *response,
                                  int64_t length, bool last);

/* piece is borrowed until h2_flush(). Nothing after the end, or on a stream that is gone. */
void h2_send_body(struct h2_stream *stream, struct sluice_span piece);

/* The end, with trailers or NULL. */
void h2_send_end(struct h2_stream *stream, const struct fields *trailers);

/*
 * What was lent is framed or copied: memory may go. OK: all is framed; ERR_AGAIN: some is queued,
 * on_drained follows, or on_lost; ERR_CLOSED: the stream is gone. From outside of a callback it
 * pulls.
 */
CHECKED enum err h2_flush(struct h2_stream *stream);

/* -- receiving on a stream ----------------------------------------------------- */

/*
 * Stop and go on handing over content. After h2_release() what is queued comes in h2_run(), or by
 * h2_hand_over() at once: not from inside a callback. A piece of it lives until h2_run() returns.
 */
void h2_hold(struct h2_stream *stream);
void h2_release(struct h2_stream *stream);
void h2_hand_over(struct h2_stream *stream);

/* Call on_content before the first content, or the end, is told. */
void h2_await_content(struct h2_stream *stream);

/* -- ends ------------------------------------------------------------------- */

/* End it at once, what is queued is dropped, user forgotten. Nothing is called back. */
void h2_reset(struct h2_stream *stream, uint32_t code);

/*
 * The owner is done with it: what is queued is still sent, the rest of what the peer sends is not
 * wanted. user is forgotten. Client: a stream that is not over is reset (CANCEL).
 */
void h2_leave(struct h2_stream *stream);

/* -- the connection ------------------------------------------------------------ */

/*
 * Server, first step of a drain: say that it will end; streams are taken as before. Then, after a
 * round trip or a second: h2_goaway().
 */
void h2_shutdown_notice(struct h2 *h2);

/* Say that no streams after those that are known will be served; these go on. */
void h2_goaway(struct h2 *h2, uint32_t code);

/* on_pong follows. */
void h2_ping(struct h2 *h2);

/* It has been idle for a while: let go of memory that nothing is in. */
void h2_rest(struct h2 *h2);

/* Use these from now on; the peer is told of what has changed. They outlive the connection. */
void h2_set_settings(struct h2 *h2, const struct h2_settings *settings);

/* End the connection for this: ENHANCE_YOUR_CALM, pulled before it is closed; counted. */
void h2_end(struct h2 *h2, enum h2_cause cause);

/* -- questions --------------------------------------------------------------- */

void *h2_owner(const struct h2 *h2);

/* Client: how many streams the peer allows at a time, as it last said. */
uint32_t h2_stream_cap(const struct h2 *h2);

/* Client: how many more streams may be opened now; 0 after GOAWAY. */
uint32_t h2_stream_room(const struct h2 *h2);

/* Client: the peer offers extended CONNECT. */
bool h2_has_extended_connect(const struct h2 *h2);

/* Streams that are open, those without a user too. */
unsigned h2_streams(const struct h2 *h2);

/* It has ended itself: a rule or a limit was broken, or memory is out. What says so may be out. */
bool h2_is_broken(const struct h2 *h2);

/* It is broken because memory is out: nothing is sent any more. */
bool h2_has_starved(const struct h2 *h2);

/* Neither side will say anything any more. */
bool h2_is_over(const struct h2 *h2);

/* Has GOAWAY been said by us (the final one), or by the peer? */
bool h2_is_leaving(const struct h2 *h2);

/* So much of what Content-Length announced has not come yet; BODY_UNKNOWN: it announced nothing. */
int64_t h2_left(const struct h2_stream *stream);

/* How much content of ours has been framed: shows a slow peer's progress. */
uint64_t h2_framed(const struct h2_stream *stream);

/* How much content of ours the peer's windows, and the connection, let go now. */
size_t h2_room(const struct h2_stream *stream);

/* Bytes of content that wait on all streams together, either way. */
size_t h2_queued(const struct h2 *h2);

/* Is content, or its end, waiting for the peer's windows or for the connection? */
bool h2_is_stuck(const struct h2_stream *stream);

#endif /* HTTP_H2_H */
