#include "proxy/inquiry.h"

#include "base/alloc.h"
#include "base/check.h"
#include "chain/describe.h"
#include "core/alarm.h"
#include "core/mailbox.h"
#include "proxy/worker.h"

/* What one worker is asked, and what it says. Belongs to whoever has it. */
struct asked {
    struct letter letter;
    struct inquiry *inquiry; /* lives until the last letter is back; read only on a worker */
    unsigned worker;
    struct text said[]; /* one for each place that is asked */
};

struct inquiry {
    struct inquiry_wanted wanted;
    char *command; /* owned; what wanted.command points to */
    uint64_t generation;
    unsigned first, n_places;
    unsigned n_out, n_answered; /* letters under way; letters that came in time */
    bool is_over;
    struct alarm deadline;
    struct asked *answer[]; /* owned, by worker; NULL: not yet */
};

/* -- on a worker -------------------------------------------------------------------------- */

static void on_answered(void *owner, struct letter *letter);

static void on_asked(void *worker_, struct letter *letter)
{
    const struct worker *worker = worker_;
    struct asked *asked = (struct asked *)(void *)letter;
    const struct inquiry *inquiry = asked->inquiry;
    const struct view *view = worker->view;

    /* Letters keep their order, so this is the generation that was asked about, or the end. */
    if (view && view->chains && view->snapshot->generation == inquiry->generation) {
        for (unsigned i = 0; i < inquiry->n_places; i++) {
            chain_view_ask(view->chains, inquiry->first + i, inquiry->wanted.command,
                           &asked->said[i]);
        }
    }
    mailbox_post(inquiry->wanted.mailbox, letter, on_answered);
}

/* -- on the control thread ------------------------------------------------------------------ */

static void asked_free(struct inquiry *inquiry, struct asked **asked)
{
    struct asked *old = *asked;

    *asked = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < inquiry->n_places; i++)
        text_fini(&old->said[i]);
    alloc_free(old);
}

static void free_if_unused(struct inquiry *inquiry)
{
    if (!inquiry->is_over || inquiry->n_out > 0)
        return;
    alloc_free(inquiry->command);
    alloc_free(inquiry);
}

/* Only letters may still be under way after this. */
static void end(struct inquiry *inquiry)
{
    inquiry->is_over = true;
    alarm_disarm(&inquiry->deadline);
    for (unsigned i = 0; i < inquiry->wanted.crew->n_workers; i++)
        asked_free(inquiry, &inquiry->answer[i]);
    snapshot_unref(&inquiry->wanted.snapshot);
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
    struct asked *asked = alloc_new(sizeof(*asked) + inquiry->n_places * sizeof(asked->said[0]));

    asked->inquiry = inquiry;
    asked->worker = worker;
    for (unsigned i = 0; i < inquiry->n_places; i++)
        text_init(&asked->said[i], INQUIRY_ANSWER_MAX);
    inquiry->n_out++;
    mailbox_post(inquiry->wanted.crew->worker[worker]->mailbox, &asked->letter, on_asked);
}

struct inquiry *inquiry_begin(const struct inquiry_wanted *wanted)
{
    const struct chain_set *set = wanted->snapshot->chains;
    unsigned n_workers = wanted->crew->n_workers;
    struct inquiry *inquiry = alloc_new(sizeof(*inquiry) + n_workers * sizeof(struct asked *));

    CHECK(set != NULL && (wanted->place == INQUIRY_ALL || wanted->place >= 0));
    inquiry->wanted = *wanted;
    inquiry->wanted.snapshot = snapshot_ref(wanted->snapshot);
    if (wanted->command.ptr) {
        inquiry->command = alloc_text(wanted->command.ptr, wanted->command.len);
        inquiry->wanted.command.ptr = inquiry->command;
    }
    inquiry->generation = wanted->snapshot->generation;
    inquiry->first = wanted->place == INQUIRY_ALL ? 0 : (unsigned)wanted->place;
    inquiry->n_places = wanted->place == INQUIRY_ALL ? chain_set_places(set) : 1;
    alarm_init(&inquiry->deadline, on_deadline);
    alarm_arm(wanted->loop, &inquiry->deadline, wanted->wait_ms);
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

const struct snapshot *inquiry_snapshot(const struct inquiry *inquiry)
{
    return inquiry->wanted.snapshot;
}

int inquiry_place(const struct inquiry *inquiry)
{
    return inquiry->wanted.place;
}

bool inquiry_answered(const struct inquiry *inquiry, unsigned worker)
{
    return inquiry->answer[worker] != NULL;
}

struct sluice_span inquiry_answer(const struct inquiry *inquiry, unsigned worker, unsigned place,
                                  bool *cut)
{
    const struct asked *asked = inquiry->answer[worker];

    *cut = false;
    if (!asked || place < inquiry->first || place - inquiry->first >= inquiry->n_places)
        return (struct sluice_span){"", 0};
    *cut = asked->said[place - inquiry->first].cut;
    return text_span(&asked->said[place - inquiry->first]);
}
