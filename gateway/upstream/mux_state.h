/*
 * mux_state.h - what the two files of a mux share: mux.c (leases, dials, ends) and mux_bytes.c
 * (what goes over the connection).
 */
#ifndef UPSTREAM_MUX_STATE_H
#define UPSTREAM_MUX_STATE_H

#include "upstream/mux.h"
#include "upstream/pool.h"
#include "upstream/stream.h"
#include "upstream/upstream.h"

enum mux_state { MUX_DIALLING, MUX_OPEN, MUX_DRAINING, MUX_ENDED };

struct mux {
    struct pooled *pooled;     /* owned; NULL when it was handed over */
    struct endpoint *endpoint; /* borrowed; gone when ended and without leases */
    struct loop *loop;         /* borrowed */
    struct h2 *h2;             /* owned; NULL while dialling */
    struct h2_settings settings;
    struct list link;    /* endpoint->muxes */
    struct list waiting; /* of struct lease (line): for the dial, or with a stream to be opened */
    struct list batch;   /* of struct lease (batch): told something, and not yet that it is all */
    struct soon soon;    /* there is something to be done or sent */
    struct alarm ping;
    enum mux_state state;
    unsigned n_leases;             /* all of them */
    unsigned n_waiting;            /* those without a stream yet ... */
    unsigned n_dialling;           /* ... of them, those who wait for the dial */
    bool alone;                    /* one lease only waits for the dial: it will likely be HTTP/1 */
    bool busy;                     /* as counted */
    bool feeding;                  /* pieces live until the batch ends */
    bool connected;                /* the dial has ended well at once, and that is not told yet */
    bool known;                    /* SETTINGS have come */
    bool heard;                    /* something has come since the last look */
    bool pinged;                   /* and nothing has come since */
    bool closed;                   /* the connection is; we follow with our last lease */
    bool delivering;               /* ... which may end now, but not us */
    enum endpoint_failure failure; /* of streams that end because it does */
    const char *detail;
};

static inline struct conn *mux_conn(const struct mux *mux)
{
    return &mux->pooled->conn;
}

static inline const struct upstream *mux_upstream(const struct mux *mux)
{
    return mux->endpoint->upstream;
}

/* -- mux.c ----------------------------------------------------------------- */

/* The connection stands, or does not. */
void mux_on_dialled(struct mux *mux);
void mux_fail_dial(struct mux *mux, enum err err);

/* Those who wait have a stream to open each, as far as there is room; the others look anew. */
void mux_serve(struct mux *mux);

/* Those who wait for the dial hear that it was in vain. */
void mux_fail_waiting(struct mux *mux, enum err err);

/* It has been idle, has lived or has been dialled for long enough. */
void mux_on_time(struct mux *mux);

/* No new streams; ends when it has none. */
void mux_drain(struct mux *mux);

/* Of its endpoint no longer; what is left to be said may still be. */
void mux_detach(struct mux *mux);

/* The connection is closed: gone, when no lease is left. */
void mux_on_closed(struct mux *mux);
void mux_free_unused(struct mux *mux);

/* -- mux_bytes.c ------------------------------------------------------------- */

extern const struct conn_ops mux_conn_ops;

/* Begin to speak HTTP/2. ERR_MEMORY. */
CHECKED enum err mux_speak(struct mux *mux);

/* The connection is gone, or given up: so are its streams. Not of one that has ended. */
void mux_lose(struct mux *mux, enum endpoint_failure failure, const char *detail);

/* Look, at the end of the turn, what is to be done or sent. */
void mux_run_soon(struct soon *soon);

/* Look whether somebody is there, as configured. */
void mux_on_ping(struct alarm *alarm);

#endif /* UPSTREAM_MUX_STATE_H */
