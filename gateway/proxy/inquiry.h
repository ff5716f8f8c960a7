/*
 * inquiry.h - ask the plugins on every worker, and wait for what they say with a deadline.
 *
 * A letter goes to each worker and comes back with what its places said. A worker that hangs brings
 * it later, or when it is freed: nobody waits for that, and the letter cleans up after itself.
 *
 * Threads: the control thread's, but for the letters on their way.
 */
#ifndef PROXY_INQUIRY_H
#define PROXY_INQUIRY_H

#include "base/span.h"

struct crew;
struct inquiry;
struct loop;
struct mailbox;
struct snapshot;

enum {
    INQUIRY_ANSWER_MAX = 64 * 1024, /* bytes that a place may say on one worker */
    INQUIRY_ALL = -1,
};

/* Called once, when all workers have answered or the time is over; the inquiry ends with it. */
typedef void inquiry_done_fn(void *arg, const struct inquiry *inquiry);

struct inquiry_wanted {
    struct crew *crew;          /* borrowed, outlives the letters */
    struct loop *loop;          /* borrowed: of the control thread */
    struct mailbox *mailbox;    /* borrowed: where answers come back; outlives the workers */
    struct snapshot *snapshot;  /* shared: the newest that was published */
    int place;                  /* by its index in the set, or INQUIRY_ALL */
    struct sluice_span command; /* copied; ptr NULL: let it report. Not with INQUIRY_ALL */
    uint64_t wait_ms;
    inquiry_done_fn *done; /* never inside inquiry_begin() */
    void *arg;
};

/* There must be plugins in the snapshot. */
struct inquiry *inquiry_begin(const struct inquiry_wanted *wanted);

/* done is not called any more. NULL is fine. */
void inquiry_cancel(struct inquiry **inquiry);

/* -- inside done ---------------------------------------------------------------------- */

const struct snapshot *inquiry_snapshot(const struct inquiry *inquiry);

/* INQUIRY_ALL, or the one place that was asked. */
int inquiry_place(const struct inquiry *inquiry);

/* Has this worker answered? */
bool inquiry_answered(const struct inquiry *inquiry, unsigned worker);

/* What a place said there: empty when nothing; *cut when it said more than is kept. */
struct sluice_span inquiry_answer(const struct inquiry *inquiry, unsigned worker, unsigned place,
                                  bool *cut);

#endif /* PROXY_INQUIRY_H */
