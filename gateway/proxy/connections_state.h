/*
 * connections_state.h - what the two sides of connections.h share: the rows that a worker keeps;
 * private to proxy.
 */
#ifndef PROXY_CONNECTIONS_STATE_H
#define PROXY_CONNECTIONS_STATE_H

#include "proxy/connections.h"
#include "proxy/session.h"
#include "upstream/look.h"

struct text;

enum { CONNECTIONS_TURN_COST = 512 /* of a worker's turn, some 0.3 ms: a glance is 1 */ };

/* What is asked, as all workers read it. */
struct connections_subject {
    struct connections_wanted wanted;
    char name[CONNECTIONS_NAME_MAX]; /* what wanted.name points to */
    uint32_t asked;                  /* when, as conn_tick() */
};

/* One that was met: what it is sorted by, and what there is to be said of it. */
struct connections_row {
    uint64_t key, id;
    char *text; /* owned; NULL: there was no memory for it */
    size_t len;
};

/* What a worker has met so far. */
struct connections_met {
    struct session_walk walk;
    struct peer_walk peers;
    struct connections_row *row; /* owned: a heap, the least on top; wanted.limit of them */
    unsigned n;
    size_t bytes; /* of all texts */
    uint64_t total, matched;
    unsigned cost; /* of this turn */
    bool has_begun;
};

/* One that is being looked at. */
struct sight {
    uint64_t id; /* of equals, the lower one is told first */
    uint32_t opened;
    uint64_t idle_ms, requests;
    /* Write the row, with at most so many streams; returns with how many. */
    unsigned (*write)(const void *from, unsigned max_streams, struct text *out);
    const void *from;
};

/* It is one that is asked for: count it, and keep it if it is among the first so far. */
void connections_keep(struct connections_met *met, const struct connections_subject *subject,
                      const struct sight *sight);

/* As struct inquiry_ops.answer, of connections to endpoints (connections_up.c). */
bool connections_look_up(const struct connections_subject *subject, struct worker *worker,
                         struct connections_met *met);

#endif /* PROXY_CONNECTIONS_STATE_H */
