/*
 * h2_state.h - what the files of an HTTP/2 connection share; private to http.
 *
 * h2.c lives and asks, h2_receive.c is what nghttp2 tells of frames that came, h2_send.c what it
 * asks for frames that go, h2_budget.c what the peer may do, h2_queue.c bytes that wait.
 */
#ifndef HTTP_H2_STATE_H
#define HTTP_H2_STATE_H

#include "base/pages.h"
#include "base/slab.h"
#include "http/h2.h"
#include "http/h2_head.h"

#include <nghttp2/nghttp2.h>

enum h2_stream_flag {
    H2_HEAD_IN = 1, /* the peer's (final) head has come */
    H2_END_IN = 2,  /* its end has come; on_end may still be due */
    H2_ENDED = 4,   /* the owner knows of that end */
    H2_HELD = 8,
    H2_HEAD_OUT = 16,    /* our (final) head was given to nghttp2 */
    H2_END_OUT = 32,     /* our end was said by the owner */
    H2_EOF = 64,         /* ... and framed */
    H2_OWNED = 128,      /* user is the owner's, who wants to hear */
    H2_REFUSED = 256,    /* its head was refused: nothing of it is told */
    H2_NO_CONTENT = 512, /* a response to HEAD and the like: no byte may come */
    H2_TUNNEL = 1024,    /* an extended CONNECT */
    H2_RESET = 2048,     /* we have said RST_STREAM */
    H2_GONE = 4096,      /* nghttp2 has closed it */
    H2_PEER_RESET = 8192,
    H2_TO_TELL = 16384, /* of its loss */
    H2_AWAITS = 32768,  /* on_content is due */
};

struct h2_bench {
    nghttp2_session_callbacks *callbacks; /* owned */
    struct slab streams, chunks;
    struct pages pages;       /* nghttp2's tables of streams */
    struct h2_head spare;     /* memory for the next head, when nobody uses it */
    struct field_line *lines; /* owned: tables are filled here */
    nghttp2_nv *nv;           /* owned: heads on their way to nghttp2 */
    size_t n_lines, n_nv;     /* so many have room */
    char length[24];          /* digits of a Content-Length being sent */
    char status[4];
    /*
     * nghttp2 gives each session a buffer of 16 KiB in which a frame is made. It holds nothing
     * between two calls of nghttp2_session_mem_send() that returned 0, and h2_pull() always goes
     * on until then: so all sessions of a thread have the same.
     */
    void *frame; /* owned */
    size_t frame_bytes;
    bool frame_wanted; /* a session is being made that has not got it yet */
    /* The table of an encoder that must not keep anything is never written. */
    void *ring; /* owned */
    bool ring_wanted;
    void *reserve; /* owned: for when memory is out; NULL: it was needed, and none came after */
};

/* Where in the bytes of the peer the next frame begins. */
struct h2_walk {
    uint32_t left; /* of the preface, or of a frame's payload */
    uint8_t n;     /* bytes of a frame's header that have come */
    uint8_t head[9];
};

/* What was counted in this interval. */
struct h2_budget {
    uint64_t began_us;
    uint32_t resets, provoked, settings, pings, empty, priorities, tiny;
    uint32_t content;  /* frames of it, either way */
    uint32_t requests; /* that came */
};

enum { H2_EARLY_MAX = 8 }; /* priorities kept of streams that are not open yet */

/* What a PRIORITY_UPDATE has said of a stream whose head has not come yet. */
struct h2_early {
    uint32_t id; /* 0: none */
    uint8_t urgency;
    bool incremental;
};

struct h2 {
    nghttp2_session *session;
    struct h2_bench *bench; /* borrowed */
    const struct h2_settings *settings;
    const struct h2_ops *ops;
    void *owner;
    struct list streams;
    struct list ready;
    struct list waiting;
    struct list lost;
    struct h2_head head;    /* of the section being received; its memory is the bench's spare */
    void *page;             /* nghttp2's table of streams; NULL: none yet */
    struct h2_queue handed; /* content that was handed over by h2_run(), until it returns */
    struct h2_stream *told; /* whose owner is being called; NULL: it was freed meanwhile */
    size_t queued_bytes;    /* of all queues together */
    uint64_t now_us;
    struct h2_budget budget;
    struct h2_walk walk;
    struct h2_early early[H2_EARLY_MAX];
    uint32_t n_streams;
    uint32_t pull_left; /* bytes of content that this h2_pull() may still frame */
    uint32_t causes;    /* a bit each: told */
    uint32_t n_early;   /* that were ever kept; the next place in early[] */
    uint32_t foreseen;  /* RST_STREAM frames not sent yet that the budget was charged with */
    enum err over;      /* OK, or why h2_feed() ended the connection */
    enum h2_role role;
    bool busy;       /* inside nghttp2: nothing may be pulled */
    bool blocked;    /* the owner's connection takes no more */
    bool dead;       /* there is no connection any more */
    bool woken;      /* wake was called, h2_run() has not come yet */
    bool said_magic; /* client: the preface is out */
    bool leaving;    /* a GOAWAY with a last stream was said, or came */
    bool paused;     /* h2_pull() has stopped before everything was framed */
    bool drained;    /* one of those that wait may have nothing left */
};

/* -- h2.c ----------------------------------------------------------------------- */

static inline bool h2_is_owned(const struct h2_stream *stream)
{
    return (stream->flags & H2_OWNED) != 0;
}

/*
 * Room for the fields of a head, in the table that all connections of the thread fill. What a
 * connection's settings point to may change under it (a reload).
 */
CHECKED enum err h2_bench_fit(struct h2_bench *bench, const struct h2_settings *settings);

/* NULL when out of memory. */
struct h2_stream *h2_stream_new(struct h2 *h2, uint32_t id);
void h2_stream_free(struct h2_stream *stream);
struct h2_stream *h2_stream_find(struct h2 *h2, int32_t id);

/*
 * Client: an answer that has come whole, and that its owner has not taken yet. It is delivered
 * whatever becomes of the stream or the connection (RFC 9113 8.1): they are not needed for it.
 */
bool h2_has_whole(const struct h2_stream *stream);

/* Its owner, if there is one, is told by h2_settle(). */
void h2_lose(struct h2_stream *stream, const struct h2_loss *loss);
void h2_settle(struct h2 *h2);

/* End it for what was wrong with it: RST_STREAM, and its owner is told. */
void h2_break(struct h2_stream *stream, uint32_t code, const char *detail);

/* Ask for h2_run(). */
void h2_wake(struct h2 *h2);

/* Memory ran out inside nghttp2: nothing can be said or taken any more. */
void h2_starve(struct h2 *h2);

/* The content of these bytes is taken: windows open again. */
void h2_taken(struct h2 *h2, uint32_t stream, size_t bytes);

/* Something is to be sent: the caller of h2_feed() pulls, else ask for h2_run(). */
void h2_say(struct h2 *h2);

/* -- h2_receive.c, h2_send.c ------------------------------------------------------ */

void h2_receive_callbacks(nghttp2_session_callbacks *callbacks);
void h2_send_callbacks(nghttp2_session_callbacks *callbacks);

/* Hand over what waits on the list of the ready. */
void h2_deliver(struct h2 *h2);

/* Call on_drained for those that wait and have nothing left. */
void h2_tell_drained(struct h2 *h2);

/* Copies of a trailer section; NULL when out of memory. */
struct h2_section {
    unsigned n;
    struct field_line line[];
};
struct h2_section *h2_section_new(const struct fields *fields);

/* -- h2_budget.c ------------------------------------------------------------------ */

void h2_budget_turn(struct h2 *h2, uint64_t now_us);

/*
 * Look at the headers of the frames in these bytes: those that nghttp2 passes over without telling
 * are work too. ERR_LIMIT: the connection is over.
 */
CHECKED enum err h2_budget_walk(struct h2 *h2, struct sluice_span bytes);

/* Count one; beyond limit (0: none) the connection is over and ERR_LIMIT says so. */
CHECKED enum err h2_budget_spend(struct h2 *h2, uint32_t *spent, uint32_t limit,
                                 enum h2_cause cause);
void h2_tell_cause(struct h2 *h2, enum h2_cause cause);

/* The peer makes us reset a stream. */
void h2_budget_provoked(struct h2 *h2);

/* The peer resets a stream that has no whole answer. */
CHECKED enum err h2_budget_reset(struct h2 *h2);

/* -- h2_queue.c ------------------------------------------------------------------- */

void h2_queue_prepare(struct slab *chunks);

CHECKED enum err h2_queue_add(struct h2 *h2, struct h2_queue *queue, struct sluice_span bytes);
struct sluice_span h2_queue_front(const struct h2_queue *queue);
void h2_queue_skip(struct h2 *h2, struct h2_queue *queue, size_t n);

/* Move the first piece to the end of another queue. */
void h2_queue_pass(struct h2_queue *from, struct h2_queue *to);
void h2_queue_reset(struct h2 *h2, struct h2_queue *queue);

#endif /* HTTP_H2_STATE_H */
