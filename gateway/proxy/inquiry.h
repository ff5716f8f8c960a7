/*
 * inquiry.h - ask every worker the same question, and wait for what they say with a deadline.
 *
 * A letter goes to each worker and comes back with its answer. What takes long is answered in
 * parts, one a turn of the worker's loop: its connections are served in between. A worker that
 * hangs brings its letter later, or when it is freed: nobody waits for that, and the letter cleans
 * up after itself.
 *
 * What is asked is a question: its operations, and a subject that no worker changes.
 *
 * Threads: the control thread's, but for the letters on their way.
 */
#ifndef PROXY_INQUIRY_H
#define PROXY_INQUIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crew;
struct inquiry;
struct loop;
struct mailbox;
struct worker;

struct inquiry_ops {
    size_t answer_bytes; /* of what one worker says; zeroed before it is asked */
    /*
     * On a worker: answer, or go on doing so. False: that was enough for this turn, and it is
     * called again in the next one.
     */
    bool (*answer)(const void *subject, struct worker *worker, void *answer);
    /* On a worker: after false, it is not called again. NULL: nothing to be left behind. */
    void (*leave)(struct worker *worker, void *answer);
    /* On the control thread: what an answer owns. NULL: nothing. */
    void (*forget)(void *answer);
    /* The same for the subject, after all letters are back. */
    void (*free_subject)(void **subject);
};

struct question {
    const struct inquiry_ops *ops; /* NULL: nothing is asked */
    void *subject;                 /* owned */
    uint64_t wait_ms;
};

/* Called once, when all workers have answered or the time is over; the inquiry ends with it. */
typedef void inquiry_done_fn(void *arg, const struct inquiry *inquiry);

struct inquiry_wanted {
    struct crew *crew;        /* borrowed, outlives the letters */
    struct loop *loop;        /* borrowed: of the control thread */
    struct mailbox *mailbox;  /* borrowed: where answers come back; outlives the workers */
    struct question question; /* taken over */
    inquiry_done_fn *done;    /* never inside inquiry_begin() */
    void *arg;
};

struct inquiry *inquiry_begin(const struct inquiry_wanted *wanted);

/* done is not called any more. NULL is fine. */
void inquiry_cancel(struct inquiry **inquiry);

/* One that will not be asked. */
void question_fini(struct question *question);

/* -- inside done ---------------------------------------------------------------------- */

const void *inquiry_subject(const struct inquiry *inquiry);

/* What a worker has said; NULL: it has not answered. */
const void *inquiry_answer(const struct inquiry *inquiry, unsigned worker);

#endif /* PROXY_INQUIRY_H */
