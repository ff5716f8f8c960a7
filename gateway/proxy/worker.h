/*
 * worker.h - one thread that carries traffic, and all that belongs to it.
 *
 * The control thread makes workers, hands them descriptors to accept from and snapshots to serve
 * by, and asks them to drain and to end; all through the mailbox. Everything else is the worker's
 * own.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/slab.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "http/h2.h"
#include "http/message.h"
#include "net/redis.h"
#include "proxy/counters.h"
#include "proxy/snapshot.h"

struct addr;
struct chain_view;
struct chain_worker;
struct listener;
struct mailbox;
struct members;
struct upstream;
struct upstreams;
struct worker;

/* What all workers share. Made by the control thread before them, outlives them. */
struct crew {
    struct worker **worker; /* owned by server/ */
    unsigned n_workers;
    uint64_t max_connections; /* atomic: of all workers together */
    uint64_t connections;     /* atomic: open now; written at accept and close only */
    uint64_t
        /* atomic: an idle connection is closed after this quiet time when draining */
        drain_idle_ms,
        drain_flush_ms; /* and plugins may send for so long at the end */
    struct writer *writer;
    struct log_gate shed_gate;     /* of the warning that descriptors are short */
    struct log_gate unshaken_gate; /* of the warning that TLS with an endpoint failed */
    /*
     * Tell the control thread that a draining worker has no connection left. Called once, on the
     * worker's thread.
     */
    void (*on_drained)(void *arg, unsigned worker);
    void *on_drained_arg;
};

/* One generation as one worker uses it. Lives while it is the newest or an exchange needs it. */
struct view {
    struct snapshot *snapshot;     /* shared */
    struct chain_view *chains;     /* owned; NULL: no plugins */
    struct upstream **upstreams;   /* owned; a reference each; by index of snapshot->upstreams */
    struct selection **selections; /* owned; a reference each; by target->selection; 0: NULL */
    struct worker *worker;
    unsigned users; /* exchanges, and one for being the newest */
};

/*
 * One listener of one worker. Lives from its first descriptor until its last connection has
 * ended.
 */
struct port {
    struct list link;
    struct worker *worker;            /* borrowed */
    char *name;                       /* owned */
    struct listener *listener;        /* owned; NULL: no longer accepting */
    const struct listener_conf *conf; /* borrowed from the newest view that names it; never NULL */
    struct view *view;                /* the view conf comes from; a user of it */
    struct h2_settings h2_settings;   /* conf's, at an address that stays */
    unsigned index;                   /* of conf in that view's snapshot */
    const struct tally_block *tally;  /* borrowed: struct port_counters of all workers */
    struct port_counters *counters;   /* borrowed, this worker's slot */
    bool full;                        /* the last time that was asked */
    unsigned sessions;
};

struct worker {
    unsigned index;
    struct crew *crew; /* borrowed, outlives us */
    struct loop *loop;
    struct mailbox *mailbox;
    struct view *view; /* the newest; NULL before the first snapshot */
    struct upstreams *upstreams;
    struct redis *redis; /* owned; without a peer when none is configured */
    struct redis_counters redis_counters;
    struct chain_worker *chain; /* owned */
    struct route_scratch *scratch;
    struct h2_bench *h2; /* owned: what HTTP/2 connections share */
    struct rng rng;
    struct slab sessions; /* of struct session */
    struct slab tunnels;  /* of struct tunnel */
    struct slab chunks;   /* of ARENA_CHUNK bytes: exchanges and all that belongs to them */
    struct list ports;    /* of struct port */
    struct list all;      /* of struct session: every connection, oldest first */
    struct list walks;    /* of struct session_walk: who goes through them */
    struct writer_lane *lane;
    struct text line;            /* an access log line being made */
    struct access_second second; /* of the line before */
    struct worker_counters counters;
    struct field_line *request_lines; /* owned: scratch tables that heads are parsed into */
    struct field_line *response_lines;
    uint64_t last_connection; /* so many sessions have begun here */
    uint64_t incoming;        /* atomic: connections handed to us that we have not taken yet */
    uint64_t beat;            /* atomic: the number of the last question that was answered */
    uint64_t beat_asked, beat_asked_us; /* the control thread's: the last one, and when */
    bool draining, said_drained;
    unsigned last_turns;
    struct soon last_turn;
    struct alarm sweep; /* while draining: closes what has become idle */
    struct alarm flush; /* at its end: asks plugins whether all has been sent */
    uint64_t flush_until_us;
    /* The wall clock moves with the loop's; the difference is renewed now and then. */
    int64_t wall_offset_us;
    uint64_t wall_renewed_us;
    char date[32]; /* for Date, renewed with the second */
    uint64_t date_s;
};

enum {
    LANE_BYTES = 1024 * 1024, /* of access log lines that the writer has not written yet */
    WORKER_LINES = 1000 + 64  /* the most field lines a listener may allow, and some of our own */
};

/* -- for the control thread ---------------------------------------------- */

struct worker *worker_new(struct crew *crew, unsigned index);

/* After its thread has ended. */
void worker_free(struct worker **worker);

/* The thread's main: turn the loop until worker_stop(). arg is the worker. */
void worker_main(void *arg);

/* Serve by this snapshot from now on; takes a reference of its own. */
void worker_publish(struct worker *worker, struct snapshot *snapshot);

/* Use these members for their upstream from now on; takes a reference of its own. */
void worker_set_members(struct worker *worker, struct members *members);

/*
 * Accept on fd for the listener of that name, which the newest published snapshot has. Takes over
 * fd.
 */
void worker_add_port(struct worker *worker, struct sluice_span name, int fd,
                     const struct tally_block *tally);

/*
 * Accept what is queued, then close the descriptor; its connections are served on and closed when
 * they are done.
 */
void worker_remove_port(struct worker *worker, struct sluice_span name);

/*
 * Does its loop turn? 0 when it has answered what the last call asked, and then it is asked again;
 * else for how many microseconds it has not answered.
 */
uint64_t worker_silence_us(struct worker *worker);

/* Stop accepting, end connections as they become idle; crew->on_drained follows. */
void worker_drain(struct worker *worker);

/* End the loop after this turn, cutting what is still open. */
void worker_stop(struct worker *worker);

/* Take over a connection that another worker accepted. Any thread. */
void worker_hand_over(struct worker *worker, struct sluice_span port, int fd,
                      const struct addr *peer);

/* -- for the worker's own thread ------------------------------------------ */

/* One more user of a view; returns it. */
struct view *view_use(struct view *view);
void view_unuse(struct view **view);

/* Microseconds since 1970, as of this turn. */
uint64_t worker_wall_us(struct worker *worker);

/* The value for Date, as of this second. */
struct sluice_span worker_date(struct worker *worker);

/* A session ended: capped listeners may accept again. */
void worker_on_session_end(struct worker *worker, struct port *port);

#endif /* PROXY_WORKER_H */
