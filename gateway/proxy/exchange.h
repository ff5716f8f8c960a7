/*
 * exchange.h - one request and its response, told as a story.
 *
 * (the diagram and the states live in exchange.c)
 *
 * Whoever calls an exchange_on_ function brackets a batch of such calls by
 * exchange_enter() and exchange_leave(): the story goes on in leave, which sends
 * what was added to the legs and may free the exchange.
 *
 * Owns:    its arena, and through it everything made for this request; its attempt.
 * Borrows: the downstream leg.
 * Threads: the worker that read the request, from birth to death.
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include "core/alarm.h"
#include "core/loop.h"
#include "http/grpc_frames.h"
#include "http/h1_parse.h"
#include "proxy/attempt.h"
#include "proxy/leg.h"
#include "proxy/reason.h"
#include "route/route.h"

struct addr;
struct conn;
struct hedge;
struct port;
struct proxied;
struct retry;
struct sluice_exchange;
struct view;
struct worker;

enum exchange_state {
    EX_MATCH,     /* which route? */
    EX_PASS,      /* the plugins look at the request's head */
    EX_PAUSE,     /* a try has failed: before the next one */
    EX_AIM,       /* which upstream and endpoint? */
    EX_LEASE,     /* waiting for a connection to it */
    EX_SEND_HEAD, /* connected */
    EX_FORWARD,   /* the request is on its way, the head of the response is awaited */
    EX_RETURN,    /* the plugins look at the head of the response */
    EX_ANSWER,    /* the head of the response went out, its content follows */
    EX_TUNNEL,    /* both sides say what they like, until each has ended */
    EX_REPLY,     /* we answer ourselves */
    EX_DRAIN,     /* everything is said; the client still takes it, or sends content nobody wants */
    EX_DONE,
};

/* Where a request came from. */
struct exchange_from {
    struct leg *leg;               /* borrowed */
    struct port *port;             /* borrowed */
    const struct addr *peer;       /* borrowed, outlives the exchange */
    const char *protocol;          /* "HTTP/1.1" */
    struct sluice_span via;        /* "1.1 sluice": what Via says of it */
    const char *scheme;            /* "http" */
    const struct conn *conn;       /* borrowed: what TLS may be asked about */
    const struct proxied *proxied; /* borrowed, as peer; NULL: no PROXY header was read */
    uint64_t connection;           /* id */
    uint32_t requests;             /* of this connection, this one included */
    uint32_t stream;               /* its number on the connection; 0: it has none */
    /* Found out by the exchange: it came before the handshake was over, and may come again. */
    bool is_early;
};

/* What an exchange needs in a tunnel only. */
struct exchange_tunnel {
    struct soon let_go; /* it may not need the exchange any more */
    struct exchange *ex;
    int64_t counted_in, counted_out; /* of its bytes, in metrics already */
    uint64_t ends_us;                /* by its age; 0: no limit */
};

/* The fields are for the files of proxy/. */
struct exchange {
    struct arena arena; /* in whose first chunk we live */
    struct worker *worker;
    struct view *view; /* one user */
    struct exchange_from from;
    enum exchange_state state;
    unsigned entered; /* depth of enter and leave: nobody may free us now */
    enum reason reason;
    const char *detail; /* static: what exactly was wrong, or NULL */
    enum leg_end down_end;

    struct request request;
    struct response
        response; /* fields are only valid while it is being answered, unless kept for the log */
    const struct route *route; /* borrowed from the snapshot; NULL before EX_AIM */
    const struct route_target *target;
    uint32_t allowed_methods;
    struct route_times times; /* in force */
    uint64_t body_max;        /* 0: none */

    struct attempt *attempt; /* in the arena; NULL before EX_AIM. With a rival: the leader */
    struct hedge *hedge;     /* in the arena; NULL: there will be no rival */
    struct retry *retry;     /* in the arena; NULL: nothing to be remembered for another try */

    struct exchange_tunnel *tunnel; /* in the arena: both legs have become one; NULL: not so */

    struct sluice_exchange *chain;    /* in the arena: its plugins; NULL: none */
    struct request *try_request;      /* what the try sends that plugins were told of last */
    struct attempt *telling;          /* plugins are being told that it begins, or NULL */
    enum reason unmatched;            /* refuse it for this when all plugins let it pass */
    enum exchange_state returned;     /* from EX_RETURN: where to */
    struct sluice_span body;          /* of an answer of our own */
    struct sluice_span content;       /* of the request, when a plugin has collected it */
    const struct fields *trailers[2]; /* by enum chain_flow; kept while a plugin waits */
    bool composed;                    /* that answer is made, and not out yet */
    unsigned extended_to;             /* index + 1 of the upstream whose plugins have joined */
    unsigned n_extended;              /* upstreams whose plugins have joined */
    unsigned upstream_status;         /* of the last response; 0: none */
    uint64_t tried_us;                /* when the last try began that plugins could see */

    struct alarm total; /* in a tunnel: until its time is up */
    bool request_done;  /* its last byte has been read */
    bool head_sent;     /* the final head went downstream */
    bool response_done; /* its end went downstream */
    bool down_held, up_held;
    bool stale_retried;
    bool skipping;       /* reading content nobody wants */
    bool is_grpc;        /* a call: known once it is to be forwarded */
    bool takes_trailers; /* if so: its end may be told after the content */
    bool tells_deadline;
    uint8_t grpc_end; /* grpc-status as told, plus 1; 0: none was */
    struct grpc_frames grpc_sent;

    uint64_t begun_us, answered_us; /* by the loop's clock; 0: not yet */
    uint64_t deadline_us;           /* by which it must be over; 0: none */
    uint64_t id[2];
    struct sluice_span
        id_text; /* in the arena: what a plugin calls it, or made of id; empty: neither yet */
    int64_t request_bytes, response_bytes;
    struct sluice_span
        /*
         * the last one tried; in the members of the view's or newer sets: copied into the
         * arena
         */
        endpoint;
    unsigned tries;
    bool reused;
    struct sluice_span peer;   /* its address as text, in the arena; empty: not made yet */
    struct sluice_span client; /* address as text, in the arena; empty: not made yet */
};

/* -- life, for downstream legs ------------------------------------------- */

/* By the rules that the port has now. NULL when out of memory. */
struct exchange *exchange_new(struct port *port);

/* Release one that has not begun. */
void exchange_forget(struct exchange *ex);

/* What it is to be: a whole head, whose bytes are copied. from->leg may live in ex->arena. */
void exchange_take(struct exchange *ex, const struct exchange_from *from,
                   const struct request *request, struct sluice_span head);

/* The same of a head that was refused or did not come in time. */
void exchange_take_refused(struct exchange *ex, const struct exchange_from *from,
                           enum reason reason, const char *detail);

/*
 * With what was taken, go on until there is something to wait for; nothing is flushed yet. The
 * exchange must be entered. exchange_leave() begins as well: this is for a request whose content is
 * about to be told. Before either, nothing but its end may be told.
 */
void exchange_begin(struct exchange *ex);

void exchange_enter(struct exchange *ex);

/* "forwarding"; a static text. */
const char *exchange_state_name(const struct exchange *ex);

/*
 * Send what was added to the legs: before the memory that pieces were borrowed from is used
 * again.
 */
void exchange_flush(struct exchange *ex);

/*
 * As exchange_flush(), between two of the things that are read together: what it says of either
 * side, whether to hold the other, is left to the flush that follows.
 */
void exchange_push(struct exchange *ex);

/* True when the exchange is over and gone. */
bool exchange_leave(struct exchange *ex);

/* -- from the downstream leg ---------------------------------------------- */

void exchange_on_request_body(struct exchange *ex, struct sluice_span piece);
void exchange_on_request_end(struct exchange *ex, const struct fields *trailers);
void exchange_on_down_drained(struct exchange *ex);

/* The content is malformed, too slow, ...: answered if that is still possible. */
void exchange_on_request_failed(struct exchange *ex, enum reason reason, const char *detail);

/* Nobody is there to be answered. */
void exchange_on_client_gone(struct exchange *ex, enum reason reason);

/* -- from the upstream leg -------------------------------------------------- */

void exchange_on_connected(struct exchange *ex, const struct attempt *attempt);
void exchange_on_interim(struct exchange *ex, const struct response *response);
void exchange_on_response(struct exchange *ex, struct attempt *attempt,
                          const struct response *response);

/*
 * The upstream has granted request.upgrade with this response: from now on what comes from either
 * leg is content, until the end of its side. A leg whose send_head() got a response with an
 * upgrade says what it reads so from then on.
 */
void exchange_on_tunnel(struct exchange *ex, const struct response *response);
void exchange_on_response_body(struct exchange *ex, struct sluice_span piece);
void exchange_on_response_end(struct exchange *ex, const struct fields *trailers);

/*
 * Where content of the response may go unseen when bytes of it are left to come: the client's
 * connection. NULL: it is to be told by exchange_on_response_body(), because there is too little of
 * it, somebody looks at it or it is sent in another form.
 */
struct conn *exchange_bare_client(const struct exchange *ex, uint64_t bytes);

/* So many bytes of content have gone there; they were its first ones, or not. */
void exchange_on_response_moved(struct exchange *ex, size_t bytes, bool are_first);
void exchange_on_up_drained(struct exchange *ex);

/*
 * The attempt has ended itself. True when the exchange will try once more, which depends on what
 * the upstream may have done; else it is answered, or cut.
 */
bool exchange_on_attempt_failed(struct exchange *ex, struct attempt *attempt, enum reason reason,
                                const char *detail, enum attempt_loss loss);

/* -- for the other files of proxy/ -------------------------------------------- */

/* The attempt that leads has an endpoint, or another leads: that is what the log tells. */
static inline void exchange_note_leader(struct exchange *ex)
{
    ex->endpoint = arena_copy(&ex->arena, ex->attempt->lease.endpoint->member.text);
    ex->reused = ex->attempt->lease.reused;
}

/* Send the request, head and end, as far as it has come; its attempt has a connection. */
CHECKED enum err exchange_send_request(struct exchange *ex, struct attempt *attempt);

/* Where it is forwarded to: one of the route's, picked when first asked; NULL: nowhere. */
const struct route_target *exchange_target(struct exchange *ex);

/* Answer with a reason's status, or cut when a head is out already. */
void exchange_refuse(struct exchange *ex, enum reason reason, const char *detail);

/* Bytes moved in a tunnel, either way: its idle time begins anew. Nothing in other states. */
void exchange_note_activity(struct exchange *ex);

/*
 * What the request is called in logs and pages: 32 hexadecimal digits, or what a plugin has said.
 * NUL-terminated, in the arena; empty when out of memory.
 */
struct sluice_span exchange_id(struct exchange *ex);

/* Did it come over HTTPS, to us or to a trusted peer who says so? */
bool exchange_is_secure(const struct exchange *ex);

/* The peer's address as text. */
struct sluice_span exchange_peer(struct exchange *ex);

/* The client's address as text: the peer's, or what a trusted peer says. */
struct sluice_span exchange_client(struct exchange *ex);

/* Does the listener trust who sent it to speak for others? */
bool exchange_trusts_peer(const struct exchange *ex);

/* Content that nobody looks at any more, on to the other side. */
void exchange_pass_request(struct exchange *ex, struct sluice_span piece, bool last,
                           const struct fields *trailers);
void exchange_pass_response(struct exchange *ex, struct sluice_span piece, bool last,
                            const struct fields *trailers);

/* Send a response on, as it is in ex->response (exchange_response.c); ex->state is next then. */
void exchange_answer(struct exchange *ex, enum exchange_state next);

/* What ex->tunnel->let_go runs, at the end of the turn in which a tunnel has begun. */
void exchange_let_go(struct soon *soon);

/* A tunnel ends with its exchange. */
void exchange_leave_tunnel(struct exchange *ex);

/* Go on with a response in EX_RETURN; false while a plugin holds it. */
bool exchange_return(struct exchange *ex);

/*
 * Make and send our own answer by route or reason (reply.c). ERR_AGAIN while a plugin holds it;
 * ERR_LIMIT, ERR_MEMORY when that is not possible.
 */
CHECKED enum err reply_send(struct exchange *ex);

/* JSON about the request, for the echo action (echo.c). */
CHECKED enum err echo_body(struct exchange *ex, struct text *out);

/* The first protocol that the client asks for and the route allows; empty: none (upgrade.c). */
struct sluice_span upgrade_wanted(const struct request *request, const struct route *route);

/*
 * Does a 101 of HTTP/1 open the tunnel that was asked for? Its hop-by-hop fields are still there.
 */
bool upgrade_is_open(const struct exchange *ex, const struct response *response);

/*
 * Before an extended CONNECT (request.protocol) is asked for in HTTP/1: add what that wants to see.
 */
CHECKED enum err upgrade_ask(struct exchange *ex);

/* Rewrite the request's fields for the upstream: hop-by-hop, Forwarded, Via (forwarded.c). */
CHECKED enum err forwarded_apply(struct exchange *ex);

#endif /* PROXY_EXCHANGE_H */
