/*
 * connections.h - the connections of all workers, as an operator asks for them: which, in which
 * order, how many; and the end of one. Questions for every worker (inquiry.h).
 *
 * There may be half a million. A worker goes through its own in parts, a turn for each, and keeps
 * the first of what is asked for, with what there is to be said of them at that moment; the
 * rest is counted.
 *
 * Threads: the control thread's.
 */
#ifndef PROXY_CONNECTIONS_H
#define PROXY_CONNECTIONS_H

#include "net/addr.h"
#include "proxy/inquiry.h"
#include "proxy/session_look.h"

struct json;

enum connections_side { CONNECTIONS_DOWN, CONNECTIONS_UP /* of clients, to endpoints */ };

enum connections_sort {
    CONNECTIONS_BY_AGE, /* oldest first */
    CONNECTIONS_BY_IDLE,
    CONNECTIONS_BY_REQUESTS,
};

enum {
    CONNECTIONS_MAX = 1000,        /* that are told of */
    CONNECTIONS_STREAMS_MAX = 100, /* of one connection */
    CONNECTIONS_NAME_MAX = 256,    /* of a listener or an upstream that is asked for */
    CONNECTIONS_ANY = -1,
};

struct connections_wanted {
    enum connections_side side;
    enum connections_sort sort;
    unsigned limit; /* at most CONNECTIONS_MAX */
    int worker;     /* CONNECTIONS_ANY: all */
    int protocol;   /* enum session_protocol, or CONNECTIONS_ANY */
    /* Of the listener, or of the upstream; borrowed for the call; empty: any. */
    struct sluice_span name;
    uint64_t idle_over_ms; /* idle for longer; 0: or not */
    /* Of clients only: */
    uint64_t id; /* 0: any */
    bool has_client;
    struct addr_range client; /* its address is in there */
};

struct question connections_ask(const struct connections_wanted *wanted);

/*
 * Inside done: add total (connections there are), matched (of them, asked for), shown, and the list
 * of connections to an open object.
 */
void connections_write(const struct inquiry *inquiry, unsigned n_workers, struct json *json);

/* -- the end of one ---------------------------------------------------------------------- */

enum connections_end {
    CONNECTIONS_NONE,  /* there is none of that id */
    CONNECTIONS_ENDED, /* it is closed */
    CONNECTIONS_ENDS,  /* when what is under way is over */
    CONNECTIONS_TALKS, /* a tunnel has no end but its own, or now */
};

struct question connections_close(uint64_t id, bool now);

/* Inside done: what became of it, where a worker has answered. */
enum connections_end connections_ended(const struct inquiry *inquiry, unsigned n_workers);

#endif /* PROXY_CONNECTIONS_H */
