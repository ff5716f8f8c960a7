/*
 * roster.h - what the control thread knows of every upstream: its source and its newest members.
 *
 * The one place where "the members of upstream X are now Y" is known. It reads the sources, makes
 * a set of members of what they find, says in the log what has changed, and tells whoever has
 * asked to be told.
 *
 * A new configuration is taken over in two steps: roster_begin(), roster_plan() for each of its
 * upstreams, and then either roster_commit() or roster_abandon(); the loop must not turn in
 * between. An upstream whose source stays keeps what that source knows; one whose source is
 * another and knows nothing yet keeps the members it has until it does.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_ROSTER_H
#define UPSTREAM_ROSTER_H

#include "discovery/source.h"
#include "upstream/members.h"

struct roster;
struct roster_draft;

/* -- life ------------------------------------------------------------------- */

/* Both are borrowed and outlive it. */
struct roster *roster_new(struct sources *sources, struct shares *shares);
void roster_free(struct roster **roster);

/* Why members are others than before. */
enum roster_cause {
    ROSTER_CONFIGURED, /* a configuration was taken over: told for each of its upstreams */
    ROSTER_FOUND,      /* the source has found others; nobody else tells the workers */
    ROSTER_GONE,       /* the configuration names the upstream no more */
};

struct roster_news {
    enum roster_cause cause;
    struct sluice_span upstream;
    struct members *members; /* take a reference to keep it; of ROSTER_GONE the last ones */
};

/* From inside, the roster must not be changed. */
typedef void roster_fn(void *arg, const struct roster_news *news);

/* Tell of all changes from now on; at most ROSTER_LISTENERS. arg outlives the roster. */
enum { ROSTER_LISTENERS = 4 };
void roster_on_change(struct roster *roster, roster_fn *fn, void *arg);

/* -- taking over a configuration -------------------------------------------- */

struct roster_draft *roster_begin(struct roster *roster);

/*
 * The members that an upstream of the new configuration begins with; the caller owns a reference.
 * NULL when its source can never work: an error is noted.
 */
struct members *roster_plan(struct roster_draft *draft, const struct upstream_conf *conf,
                            struct notes *notes);

/* The configuration holds from now on; upstreams that were not planned are gone. */
void roster_commit(struct roster_draft **draft);

/* It does not. */
void roster_abandon(struct roster_draft **draft);

/* -- questions --------------------------------------------------------------- */

/* One upstream; everything is borrowed until the next event of the loop. */
struct roster_row {
    struct sluice_span upstream;
    const struct members *members;
    const struct source *source;
};

/* Step through in the order of the configuration: start with *at = 0; false at the end. */
bool roster_each(const struct roster *roster, size_t *at, struct roster_row *row);

/* That of a name; false when there is none. */
bool roster_find(const struct roster *roster, struct sluice_span upstream, struct roster_row *row);

/* The newest members of an upstream; the caller owns a reference. NULL when there is none. */
struct members *roster_members(const struct roster *roster, struct sluice_span upstream);

/* The first upstream whose source knows nothing yet; false when all know something. */
bool roster_find_waiting(const struct roster *roster, struct roster_row *row);

#endif /* UPSTREAM_ROSTER_H */
