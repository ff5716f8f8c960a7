/* control_mail.c - what other threads bring to the control thread, and what it tells them. */
#include "server/control_room.h"

#include "base/alloc.h"
#include "core/mailbox.h"
#include "upstream/health.h"

enum { HANGS_US = 1000000 /* a worker that is merely busy turns its loop far more often */ };

struct retire_letter {
    struct letter letter;
    struct snapshot *snapshot;
};

static void on_retire(void *control_, struct letter *letter)
{
    struct control *control = control_;
    struct retire_letter *retire = (struct retire_letter *)(void *)letter;

    control->n_snapshots--;
    control->snapshot_bytes -= retire->snapshot->arena.bytes;
    snapshot_free(&retire->snapshot);
    alloc_free(retire);
}

void control_retire(void *control_, struct snapshot *snapshot)
{
    struct control *control = control_;
    struct retire_letter *letter = alloc_new(sizeof(*letter));

    letter->snapshot = snapshot;
    mailbox_post(control->mailbox, &letter->letter, on_retire);
}

static void on_accused(void *control_, struct letter *letter)
{
    struct control *control = control_;

    if (control->health)
        health_judge(control->health, share_of_letter(letter));
}

/* On a worker's thread. */
void control_bring_accused(void *control_, struct letter *letter)
{
    struct control *control = control_;

    mailbox_post(control->mailbox, letter, on_accused);
}

static void on_worker_drained(void *control_, struct letter *letter)
{
    struct control *control = control_;

    alloc_free(letter);
    if (++control->n_drained == control->crew.n_workers)
        control_leave(control);
}

void control_tell_drained(void *control_, unsigned worker)
{
    struct control *control = control_;

    (void)worker;
    mailbox_post(control->mailbox, alloc_new(sizeof(struct letter)), on_worker_drained);
}

/* For who tells a registry of us; names the workers that hang. */
bool control_are_workers_alive(void *control_, struct text *why)
{
    const struct crew *crew = &((struct control *)control_)->crew;
    bool alive = true;

    for (unsigned i = 0; i < crew->n_workers; i++) {
        uint64_t silence_us = worker_silence_us(crew->worker[i]);

        if (silence_us < HANGS_US)
            continue;
        text_format(why, "%sworker %u has not turned its loop for %llu.%llu s", alive ? "" : ", ",
                    i, (unsigned long long)(silence_us / 1000000),
                    (unsigned long long)(silence_us / 100000 % 10));
        alive = false;
    }
    return alive;
}

/* Snapshots carry what they begin with; what is found later goes to the workers from here. */
void control_on_members(void *control_, const struct roster_news *news)
{
    struct control *control = control_;

    if (news->cause != ROSTER_FOUND)
        return;
    health_set_members(control->health, news->members);
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        worker_set_members(control->crew.worker[i], news->members);
    }
    if (control->phase == STARTING)
        loop_soon(control->loop, &control->settled);
}
