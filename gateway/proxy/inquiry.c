#include "proxy/inquiry.h"

#include "base/alloc.h"
#include "base/check.h"
#include "core/alarm.h"
#include "core/mailbox.h"
#include "proxy/worker.h"

/* What one worker is asked, and what it says. Belongs to whoever has it. */
struct asked {
    struct letter letter;
    struct inquiry *inquiry; /* lives until the last letter is back; read only on a worker */
    unsigned worker;
    _Alignas(max_align_t) char answer[];
};

struct inquiry {
    struct inquiry_wanted wanted;
    unsigned n_out, n_answered; /* letters under way; letters that came in time */
    bool is_over;               /* atomic: workers need not go on */
    struct alarm deadline;
    struct asked *answer[]; /* owned, by worker; NULL: not yet */
};

/* -- on a worker -------------------------------------------------------------------------- */

static void on_answered(void *owner, struct letter *letter);
static void go_on(void *worker_, struct letter *letter);

static void ask_worker(struct worker *worker, struct asked *asked)
{
    const struct inquiry *inquiry = asked->inquiry;
    const struct question *question = &inquiry->wanted.question;

    if (question->ops->answer(question->subject, worker, asked->answer)) {
        mailbox_post(inquiry->wanted.mailbox, &asked->letter, on_answered);
    } else if (worker->mailbox) {
        mailbox_post(worker->mailbox, &asked->letter, go_on);
    } else { /* the worker ends: there is no next turn */
        if (question->ops->leave)
            question->ops->leave(worker, asked->answer);
        mailbox_post(inquiry->wanted.mailbox, &asked->letter, on_answered);
    }
}

static void go_on(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct asked *asked = (struct asked *)(void *)letter;
    const struct inquiry *inquiry = asked->inquiry;

    if (!__atomic_load_n(&inquiry->is_over, __ATOMIC_RELAXED)) {
        ask_worker(worker, asked);
        return;
    }
    if (inquiry->wanted.question.ops->leave)
        inquiry->wanted.question.ops->leave(worker, asked->answer);
    mailbox_post(inquiry->wanted.mailbox, letter, on_answered);
}

static void on_asked(void *worker, struct letter *letter)
{
    ask_worker(worker, (struct asked *)(void *)letter);
}

/* -- on the control thread ------------------------------------------------------------------ */

void question_fini(struct question *question)
{
    if (question->ops)
        question->ops->free_subject(&question->subject);
    question->ops = NULL;
}

static void asked_free(struct inquiry *inquiry, struct asked **asked)
{
    struct asked *old = *asked;

    *asked = NULL;
    if (!old)
        return;
    if (inquiry->wanted.question.ops->forget)
        inquiry->wanted.question.ops->forget(old->answer);
    alloc_free(old);
}

static void free_if_unused(struct inquiry *inquiry)
{
    if (!inquiry->is_over || inquiry->n_out > 0)
        return;
    question_fini(&inquiry->wanted.question);
    alloc_free(inquiry);
}

/* Only letters may still be under way after this. */
static void end(struct inquiry *inquiry)
{
    __atomic_store_n(&inquiry->is_over, true, __ATOMIC_RELAXED);
    alarm_disarm(&inquiry->deadline);
    for (unsigned i = 0; i < inquiry->wanted.crew->n_workers; i++)
        asked_free(inquiry, &inquiry->answer[i]);
}

static void finish(struct inquiry *inquiry)
{
    inquiry->wanted.done(inquiry->wanted.arg, inquiry);
    end(inquiry);
}

static void on_answered(void *owner, struct letter *letter)
{
    struct asked *asked = (struct asked *)(void *)letter;
    struct inquiry *inquiry = asked->inquiry;

    (void)owner;
    inquiry->n_out--;
    if (inquiry->is_over) {
        asked_free(inquiry, &asked);
    } else {
        inquiry->answer[asked->worker] = asked;
        if (++inquiry->n_answered == inquiry->wanted.crew->n_workers)
            finish(inquiry);
    }
    free_if_unused(inquiry);
}

static void on_deadline(struct alarm *alarm)
{
    struct inquiry *inquiry = list_entry(alarm, struct inquiry, deadline);

    finish(inquiry);
    free_if_unused(inquiry);
}

static void ask(struct inquiry *inquiry, unsigned worker)
{
    struct asked *asked = alloc_new(sizeof(*asked) + inquiry->wanted.question.ops->answer_bytes);

    asked->inquiry = inquiry;
    asked->worker = worker;
    inquiry->n_out++;
    mailbox_post(inquiry->wanted.crew->worker[worker]->mailbox, &asked->letter, on_asked);
}

struct inquiry *inquiry_begin(const struct inquiry_wanted *wanted)
{
    unsigned n_workers = wanted->crew->n_workers;
    struct inquiry *inquiry = alloc_new(sizeof(*inquiry) + n_workers * sizeof(struct asked *));

    CHECK(wanted->question.ops != NULL);
    inquiry->wanted = *wanted;
    alarm_init(&inquiry->deadline, on_deadline);
    alarm_arm(wanted->loop, &inquiry->deadline, wanted->question.wait_ms);
    for (unsigned i = 0; i < n_workers; i++)
        ask(inquiry, i);
    return inquiry;
}

void inquiry_cancel(struct inquiry **inquiry)
{
    struct inquiry *old = *inquiry;

    *inquiry = NULL;
    if (!old)
        return;
    end(old);
    free_if_unused(old);
}

/* -- questions ------------------------------------------------------------------------------- */

const void *inquiry_subject(const struct inquiry *inquiry)
{
    return inquiry->wanted.question.subject;
}

const void *inquiry_answer(const struct inquiry *inquiry, unsigned worker)
{
    return inquiry->answer[worker] ? inquiry->answer[worker]->answer : NULL;
}
