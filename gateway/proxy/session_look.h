/*
 * session_look.h - what there is to be seen of a downstream connection; private to proxy.
 *
 * Nothing is kept for it: all is asked of what a session, its streams and the kernel have anyway.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_SESSION_LOOK_H
#define PROXY_SESSION_LOOK_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct conn;
struct exchange;
struct text;
struct tunnel;

enum session_protocol {
    SESSION_NO_PROTOCOL, /* it has not begun to speak one */
    SESSION_HTTP_1,
    SESSION_HTTP_2,
    SESSION_TUNNELS, /* it was HTTP/1, and has become a tunnel */
};

/* "HTTP/1.1"; "" when there is none yet. */
const char *session_protocol_name(enum session_protocol protocol);

/* What costs nothing to find out. Borrowed from the session. */
struct session_look {
    uint64_t id;
    const char *listener;
    const struct addr *client;
    enum session_protocol protocol;
    const char *state;        /* static */
    uint32_t opened;          /* as conn_tick() */
    uint64_t age_ms, idle_ms; /* idle: since nothing is under way; 0 while something is */
    uint64_t requests;        /* so far */
    uint32_t n_streams;       /* exchanges under way, or a tunnel */
};

/* link: of the worker's list of all sessions. */
void session_look(struct list *link, struct session_look *look);

/*
 * One line of JSON of it, with at most so many of its streams; returns how many those were. A list
 * that is not whole shows by open_streams.
 */
unsigned session_write(struct list *link, const struct session_look *look, unsigned max_streams,
                       struct text *out);

/* Each exchange that is under way on it, at most so many; returns how many there were. */
typedef void session_exchange_fn(void *arg, struct exchange *ex);
unsigned session_each_exchange(struct list *link, unsigned max, session_exchange_fn *each,
                               void *arg);

/* Its connection; and what it has become, or NULL. */
const struct conn *session_conn(struct list *link);
struct tunnel *session_tunnel_of(struct list *link);

#endif /* PROXY_SESSION_LOOK_H */
