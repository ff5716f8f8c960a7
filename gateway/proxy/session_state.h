/*
 * session_state.h - what the files of a downstream connection share; private to proxy.
 *
 * session.c is what every connection has: how it begins (PROXY header, TLS, which protocol), and
 * how it lingers and ends. A codec takes over in between, by its own struct conn_ops:
 * session_h1.c or session_h2.c.
 */
#ifndef PROXY_SESSION_STATE_H
#define PROXY_SESSION_STATE_H

#include "http/h1_parse.h"
#include "net/addr.h"
#include "net/conn.h"
#include "proxy/exchange.h"
#include "proxy/reason.h"
#include "proxy/session.h"

struct downstream;
struct multiplex;
struct proxied;

/*
 * Who has sent a whole request and is silent may be gone: a reset in one event with its last bytes
 * is not told (net/conn.h). After so long it is looked for, once: quick answers cost no look.
 */
enum { SESSION_LOOK_MS = 1000 };

enum session_state {
    SESSION_SHAKING,
    SESSION_IDLE,
    SESSION_HEAD,
    SESSION_EXCHANGE,
    SESSION_TUNNEL,
    SESSION_MULTIPLEX, /* HTTP/2: many exchanges at once */
    SESSION_LINGER
};

struct session {
    struct conn conn;
    struct list link;  /* in worker->all */
    struct port *port; /* borrowed: it waits for us */
    union {
        struct {
            struct exchange *exchange; /* owned, in SESSION_EXCHANGE */
            union {
                struct downstream *down; /* borrowed: in the exchange's arena */
                struct tunnel *tunnel;   /* SESSION_TUNNEL: borrowed, ends our connection */
            };
        };
        struct multiplex *multiplex; /* owned, in SESSION_MULTIPLEX */
    };
    struct addr peer;
    struct proxied *proxied; /* owned; NULL: no PROXY header is read */
    uint64_t id;
    union {
        uint64_t idle_since_us; /* SESSION_IDLE */
        struct h1_scan scan;    /* SESSION_HEAD: of the head being read */
    };
    union {
        uint32_t requests;
        uint32_t lingered_bytes; /* in SESSION_LINGER, when no other request comes */
    };
    uint8_t state; /* enum session_state */
    bool last;     /* close after this exchange */
    bool shaking;  /* a TLS handshake is under way, and counted */
    bool looks;    /* HTTP/1: the alarm is for SESSION_LOOK_MS */
};

static inline void session_enter(struct session *session, enum session_state state)
{
    session->state = (uint8_t)state;
}

/* -- session.c ------------------------------------------------------------------ */

const struct listener_conf *session_conf(const struct session *session);

/* Does TLS protect it, here or with the trusted one who tells of it? */
bool session_is_secure(const struct session *session);

/* What every request on it has in common: leg and stream are missing. */
static inline struct exchange_from session_origin(const struct session *session)
{
    return (struct exchange_from){.port = session->port,
                                  .peer = &session->peer,
                                  .protocol = "HTTP/1.1",
                                  .via = SPAN("1.1 sluice"),
                                  .scheme = session_is_secure(session) ? "https" : "http",
                                  .conn = &session->conn,
                                  .proxied = session->proxied,
                                  .connection = session->id,
                                  .requests = session->requests};
}

/* No more from us; what the client still sends is read and forgotten for a while. */
void session_linger(struct session *session);

/* What is unread is forgotten. */
void session_take_linger(struct session *session);

enum reason session_reason_of_end(enum err err);
enum reason session_reason_of_rule(enum h1_rule rule);

/* -- the codecs -------------------------------------------------------------------- */

void session_h1_begin(struct session *session);

/* What is under way ends now; the connection is still to be closed. */
void session_h1_cut(struct session *session, enum reason reason);

/* Take over; unread bytes are looked at. The connection is closed when that cannot be. */
void session_h2_begin(struct session *session);
void session_h2_cut(struct session *session, enum reason reason); /* as session_h1_cut() */

/* The connection is closed. */
void session_h2_end(struct session *session);

#endif /* PROXY_SESSION_STATE_H */
