#include "core/helpers.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "core/thread.h"

/* A place for a thread: helper i runs while i is below wanted. */
struct helper {
    struct helpers *all;
    struct thread *thread; /* owned; NULL: none was started */
    unsigned number;
    bool has_ended; /* to be joined */
};

struct helpers {
    struct lock lock; /* for all that follows, but thread, which is the owner's thread's */
    struct bell work; /* a job has come, or wanted has changed */
    struct helpers_job *first, **end;
    size_t n_queued, queue_max;
    unsigned wanted;
    uint64_t busy, done, refused;
    struct helper helper[HELPERS_MAX];
};

/* -- a helper's life ---------------------------------------------------- */

static struct helpers_job *take_first(struct helpers *helpers)
{
    struct helpers_job *job = helpers->first;

    helpers->first = job->next;
    if (!helpers->first)
        helpers->end = &helpers->first;
    helpers->n_queued--;
    return job;
}

static void serve(struct helpers *helpers, struct helpers_job *job)
{
    helpers->busy++;
    lock_give(&helpers->lock);
    job->run(job);
    job->has_run = true;
    mailbox_post(job->home, &job->letter, job->over);
    lock_take(&helpers->lock);
    helpers->busy--;
    helpers->done++;
}

static void live(void *helper_)
{
    struct helper *helper = helper_;
    struct helpers *helpers = helper->all;

    lock_take(&helpers->lock);
    while (helper->number < helpers->wanted) {
        if (helpers->first) {
            serve(helpers, take_first(helpers));
        } else {
            bell_wait(&helpers->work, &helpers->lock);
        }
    }
    helper->has_ended = true;
    lock_give(&helpers->lock);
}

/* -- life ------------------------------------------------------------------ */

struct helpers *helpers_new(void)
{
    struct helpers *helpers = alloc_new(sizeof(*helpers));

    lock_init(&helpers->lock);
    bell_init(&helpers->work);
    helpers->end = &helpers->first;
    for (unsigned i = 0; i < HELPERS_MAX; i++)
        helpers->helper[i] = (struct helper){.all = helpers, .number = i};
    return helpers;
}

/* Who is wanted again but has just ended, or will see it before it ends. */
static enum err start(struct helpers *helpers, struct helper *helper)
{
    bool has_ended;

    lock_take(&helpers->lock);
    has_ended = helper->has_ended;
    helper->has_ended = false;
    lock_give(&helpers->lock);
    if (helper->thread && !has_ended)
        return OK;
    thread_join(&helper->thread);
    return thread_start(&helper->thread, "helper", live, helper);
}

enum err helpers_set(struct helpers *helpers, unsigned n, size_t queue_max)
{
    if (n > HELPERS_MAX)
        n = HELPERS_MAX;
    lock_take(&helpers->lock);
    helpers->wanted = n;
    helpers->queue_max = queue_max;
    bell_ring_all(&helpers->work);
    lock_give(&helpers->lock);
    for (unsigned i = 0; i < n; i++) {
        enum err err = start(helpers, &helpers->helper[i]);

        if (err == OK)
            continue;
        lock_take(&helpers->lock);
        helpers->wanted = i;
        lock_give(&helpers->lock);
        return err;
    }
    return OK;
}

void helpers_free(struct helpers **helpers)
{
    struct helpers *old = *helpers;

    *helpers = NULL;
    if (!old)
        return;
    (void)!helpers_set(old, 0, 0);
    for (unsigned i = 0; i < HELPERS_MAX; i++)
        thread_join(&old->helper[i].thread);
    while (old->first) {
        struct helpers_job *job = take_first(old);

        mailbox_post(job->home, &job->letter, job->over);
    }
    bell_fini(&old->work);
    lock_fini(&old->lock);
    alloc_free(old);
}

/* -- actions --------------------------------------------------------------- */

enum err helpers_submit(struct helpers *helpers, struct helpers_job *job)
{
    bool has_room;

    job->next = NULL;
    job->has_run = false;
    lock_take(&helpers->lock);
    has_room = helpers->wanted > 0 && helpers->n_queued < helpers->queue_max;
    if (has_room) {
        *helpers->end = job;
        helpers->end = &job->next;
        helpers->n_queued++;
        bell_ring(&helpers->work);
    } else {
        helpers->refused++;
    }
    lock_give(&helpers->lock);
    return has_room ? OK : ERR_LIMIT;
}

/* -- questions --------------------------------------------------------------- */

struct helpers_numbers helpers_numbers(struct helpers *helpers)
{
    struct helpers_numbers numbers;

    lock_take(&helpers->lock);
    numbers = (struct helpers_numbers){.threads = helpers->wanted,
                                       .busy = helpers->busy,
                                       .queued = helpers->n_queued,
                                       .queue_max = helpers->queue_max,
                                       .done = helpers->done,
                                       .refused = helpers->refused};
    lock_give(&helpers->lock);
    return numbers;
}
