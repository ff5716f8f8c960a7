/*
 * helpers.h - a few threads for work that would hold up a loop.
 *
 * A worker hands over a job; a helper runs it and posts it back to the worker's mailbox. Jobs wait
 * in one bounded queue, first come first served.
 *
 * Owns:    its threads. A job belongs to the helpers from helpers_submit() until its letter is
 *          opened.
 * Threads: helpers_submit(): any. Life and helpers_set(): one thread.
 */
#ifndef CORE_HELPERS_H
#define CORE_HELPERS_H

#include "core/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct helpers;
struct helpers_job;

/* Called once on a helper thread. May take as long as it needs. */
typedef void helpers_run_fn(struct helpers_job *job);

/* First member of every kind of job; allocated by who submits it. */
struct helpers_job {
    struct letter letter; /* opened when it is over: the whole job comes back by it */
    letter_fn *over;      /* on the thread of home; the callee owns the job again */
    helpers_run_fn *run;
    struct mailbox *home; /* borrowed; outlives the helpers */
    bool has_run;         /* false when it comes back: the helpers ended before its turn */
    struct helpers_job *next;
};

struct helpers_numbers {
    uint64_t threads, busy; /* now */
    uint64_t queued, queue_max;
    uint64_t done, refused; /* since the beginning */
};

enum { HELPERS_MAX = 64 };

/* -- life ------------------------------------------------------------- */

/* Without threads: helpers_set() starts them. */
struct helpers *helpers_new(void);

/*
 * Wait for the jobs that are running; those still queued come back without having run. Nobody may
 * submit any more; the mailboxes must still be there.
 */
void helpers_free(struct helpers **helpers);

/*
 * Run n threads (at most HELPERS_MAX) and let queue_max jobs wait. Fewer than before: the
 * others end after the job they have. ERR_SYSTEM: not all could be started.
 */
CHECKED enum err helpers_set(struct helpers *helpers, unsigned n, size_t queue_max);

/* -- actions ---------------------------------------------------------- */

/* Have job run. ERR_LIMIT: the queue is full, or there are no threads; the job stays yours. */
CHECKED enum err helpers_submit(struct helpers *helpers, struct helpers_job *job);

/* -- questions -------------------------------------------------------- */

struct helpers_numbers helpers_numbers(struct helpers *helpers);

#endif /* CORE_HELPERS_H */
