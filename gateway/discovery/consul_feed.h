/*
 * consul_feed.h - what Consul says of one service in one datacenter, kept up to date.
 *
 *            start            asked                    answer
 *   STOPPED -------> RESTING -------> ASKING ------------------------> RESTING, or ASKING at once
 *                       ^                |  failed: backoff
 *                       +----------------+  held: a read on purpose, 1 to 3 s later
 *
 * Of an answer, in this order: the index (consul_index), the content (consul_parse), whether it is
 * news (a hash), whether it is believed (consul_guard); then it is applied, and only then does the
 * index count. Who reads the feed is told of each outcome.
 *
 * Shared by all sources that ask the same. Threads: the control thread's.
 */
#ifndef DISCOVERY_CONSUL_FEED_H
#define DISCOVERY_CONSUL_FEED_H

#include "core/alarm.h"
#include "discovery/consul.h"
#include "discovery/consul_client.h"
#include "discovery/consul_index.h"
#include "discovery/consul_pace.h"
#include "discovery/consul_parse.h"

struct consul_group;

/* What to ask for; borrowed by consul_feed_get(). */
struct consul_spec {
    struct sluice_span service, query, filter, datacenter, ns, near;
    struct consul_reading reading;
    uint64_t interval_ms;
};

enum consul_event {
    CONSUL_NEWS,      /* feed->found is another set */
    CONSUL_CONFIRMED, /* it is as known */
    CONSUL_FAILED,    /* nobody could be asked, or the answer cannot be used */
    CONSUL_HELD,      /* the answer is not believed */
};

/* Told by the loop, never from inside consul_feed_get(). */
struct consul_reader {
    struct list link;
    void (*on_event)(struct consul_reader *reader, enum consul_event event);
    struct consul_feed *feed; /* shared; NULL while not reading */
};

enum consul_step { FEED_STOPPED, FEED_RESTING, FEED_ASKING };

enum { CONSUL_FEED_WHY = 320 };

/*
 * The fields are for consul_feed.c, consul.c and consul_group.c; readers look, and change
 * nothing.
 */
struct consul_feed {
    struct list link;      /* of consul's feeds */
    struct consul *consul; /* borrowed, outlives us */
    unsigned refs;
    struct list readers; /* of struct consul_reader */
    struct arena arena;
    struct consul_spec spec;      /* texts in the arena, each with a NUL */
    struct sluice_span key, name; /* in the arena; name: "web" or "web in dc2", for people */

    enum consul_step step;
    bool reads_again;           /* the next read is one on purpose, past all caches */
    struct consul_group *group; /* borrowed; NULL: in none */
    struct list in_group;
    struct list turn;    /* in a group: waits to be asked */
    bool is_asked;       /* in a group: and it counts there */
    bool wanted_again;   /* in a group: changed while it was being asked */
    uint64_t asked_with; /* the index, for the log */
    struct alarm alarm;
    struct fetch *fetch; /* owned while ASKING */
    struct consul_index index;
    struct consul_pace pace;
    struct consul_guard guard;
    unsigned errors;    /* in a row */
    bool has_answered;  /* since the agent is this one */
    bool refused_token; /* and it has been read again since */

    struct found *found;     /* shared; NULL: nothing known */
    enum source_state state; /* of it */
    char why[CONSUL_FEED_WHY];
    uint64_t as_of_wall_us;
    uint64_t index_applied;
    uint64_t updates, n_errors, n_held, n_rejected, n_resets;
    bool expired; /* older than max_stale: found is empty because of that */

    struct alarm save;
    uint64_t touched_us; /* when the file on disk was last known to be true */
};

/* -- life --------------------------------------------------------------------- */

/* The feed that asks for it: one there is, or a new one. The caller owns a reference. */
struct consul_feed *consul_feed_get(struct consul *consul, const struct consul_spec *spec);
void consul_feed_unref(struct consul_feed **feed);

/* Takes over the reference. */
void consul_feed_read(struct consul_reader *reader, struct consul_feed **feed);

/* Gives it back. Safe when not reading. */
void consul_feed_leave(struct consul_reader *reader);

/* -- for consul.c ---------------------------------------------------------------- */

/* Read what is kept on disk, if nothing is known. */
void consul_feed_load(struct consul_feed *feed);

/* Ask after delay_ms, and go on. */
void consul_feed_start(struct consul_feed *feed, uint64_t delay_ms);

/* Ask no more; what is known stays. Somebody else may answer next. */
void consul_feed_stop(struct consul_feed *feed);

enum consul_mode consul_feed_mode(const struct consul_feed *feed);

/* -- for consul_group.c ------------------------------------------------------------- */

/* Ask once, now; consul_group_done() follows. */
void consul_feed_ask(struct consul_feed *feed);

/* As if it had been asked: it is as known, or could not be asked. */
void consul_feed_confirm(struct consul_feed *feed);
void consul_feed_fail(struct consul_feed *feed, const char *why);

#endif /* DISCOVERY_CONSUL_FEED_H */
