/*
 * leg.h - one side of an exchange: its stream on a downstream or an upstream connection.
 *
 * The exchange knows neither sockets nor protocol versions: it sends heads, pieces
 * of content and ends to a leg, and the leg's owner (session_h1.c for HTTP/1 downstream,
 * attempt_h1.c for HTTP/1 upstream) calls the exchange_on_ functions with what arrives.
 *
 * Pieces are borrowed until flush(). Everything is accepted whole: what cannot be
 * sent at once is queued, flush() says ERR_AGAIN, and a drained call follows;
 * meanwhile the exchange holds the other leg, so a queue stays small.
 *
 * A tunnel is a stream whose content is not delimited: after a response with an upgrade
 * (send_head() downstream, exchange_on_tunnel() upstream), pieces go as they are, send_end() ends
 * our side of the leg and leaves the other one open, what arrives is content until the peer ends
 * its side, and the leg has no timeouts of its own.
 */
#ifndef PROXY_LEG_H
#define PROXY_LEG_H

#include "http/message.h"

struct conn;
struct leg;
struct tunnel;

/* A head to send, and how its content will be delimited. */
struct leg_head {
    const struct request *request; /* upstream legs; else NULL */
    struct sluice_span target, host;
    const struct response *response; /* downstream legs; else NULL */
    enum framing framing;            /* FRAMING_NONE: no content follows */
    int64_t body_bytes;              /* FRAMING_LENGTH */
    int64_t
        keep_length; /* a Content-Length that describes no content (HEAD, 304), or BODY_UNKNOWN */
};

/* How an exchange leaves a leg. */
enum leg_end {
    LEG_KEEP, /* in order: the connection may serve the next exchange */
    LEG_CUT,  /* in the middle of a message: the peer must notice */
};

/* A stream that ended before its messages did. */
struct leg_reset {
    const char *code; /* static: "CANCEL" */
    bool by_peer;     /* it said so; else we do */
};

struct leg_ops {
    const char *name; /* "h1" */
    /*
     * ERR_LIMIT when the head is too large to send; upstream, ERR_REFUSED: there is no room for one
     * more on the connection.
     */
    enum err (*send_head)(struct leg *leg, const struct leg_head *head);
    void (*send_body)(struct leg *leg, struct sluice_span piece);
    /* The rest of the content is sent; trailers may be NULL. */
    void (*send_end)(struct leg *leg, const struct fields *trailers);
    /* OK: all is sent. ERR_AGAIN: some is queued. Others: the peer cannot be reached any more. */
    enum err (*flush)(struct leg *leg);
    /*
     * How many bytes of content it is likely to take now without queueing any; 0: its peer's window
     * is shut, or what was sent has not been taken.
     */
    size_t (*room)(struct leg *leg);
    /*
     * Downstream: the connection on which content goes as it comes, its bytes and nothing else;
     * NULL: not this one. Upstream, and where it is never so: NULL.
     */
    struct conn *(*bare)(struct leg *leg);
    /* Stop and go on handing over content. */
    void (*hold)(struct leg *leg);
    void (*release)(struct leg *leg);
    /*
     * Downstream: is what is left of the request's content short enough to be read and forgotten?
     * Upstream: NULL.
     */
    bool (*can_skip)(struct leg *leg);
    /*
     * The leg has a connection to itself that carries a tunnel: leave it to the tunnel (tunnel.h).
     * The leg is over then. NULL: it has none to itself.
     */
    void (*hand_over)(struct leg *leg, struct tunnel *tunnel);
    /*
     * Has its stream been reset, or will it be when the exchange leaves it so? NULL: it has no
     * streams.
     */
    bool (*find_reset)(struct leg *leg, enum leg_end how, struct leg_reset *reset);
    /* The exchange is over and is freed when this has returned; the leg may be in its arena. */
    void (*end)(struct leg *leg, enum leg_end how);
};

struct leg {
    const struct leg_ops *ops;
};

/*
 * Read on from the other side by so much at a time: what nobody takes must be kept, and a peer may
 * refuse to take anything for as long as it is allowed to. So that is all that is kept of it.
 */
enum { LEG_SPARE_BYTES = 4096 };
static inline size_t leg_read_most(struct leg *to)
{
    return to->ops->room(to) + LEG_SPARE_BYTES;
}

#endif /* PROXY_LEG_H */
