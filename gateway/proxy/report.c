#include "proxy/report.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/text.h"
#include "chain/describe.h"
#include "proxy/worker.h"

enum { WAIT_MS = 1000 /* a worker that hangs holds nobody up for longer */ };

/* Who is asked what. */
struct subject {
    struct snapshot *snapshot; /* shared */
    uint64_t generation;
    int place;
    unsigned first, n_places;
    char *command; /* owned; NULL: let it report */
    size_t command_len;
};

/* One of these for each place that is asked, as a list that workers make as long as it must be. */
struct reports {
    unsigned n;
    struct text *said; /* owned */
};

/* -- on a worker ---------------------------------------------------------------------- */

static bool answer(const void *subject_, struct worker *worker, void *reports_)
{
    const struct subject *subject = subject_;
    const struct view *view = worker->view;
    const struct sluice_span command = {subject->command, subject->command_len};
    struct reports *reports = reports_;

    /* Letters keep their order, so this is the generation that was asked about, or the end. */
    if (!view || !view->chains || view->snapshot->generation != subject->generation)
        return true;
    reports->n = subject->n_places;
    reports->said = alloc_new((reports->n + 1) * sizeof(reports->said[0]));
    for (unsigned i = 0; i < reports->n; i++) {
        text_init(&reports->said[i], REPORT_MAX);
        chain_view_ask(view->chains, subject->first + i, command, &reports->said[i]);
    }
    return true;
}

/* -- on the control thread --------------------------------------------------------------- */

static void forget(void *reports_)
{
    struct reports *reports = reports_;

    for (unsigned i = 0; i < reports->n; i++)
        text_fini(&reports->said[i]);
    alloc_free(reports->said);
}

static void free_subject(void **subject_)
{
    struct subject *subject = *subject_;

    *subject_ = NULL;
    snapshot_unref(&subject->snapshot);
    alloc_free(subject->command);
    alloc_free(subject);
}

static const struct inquiry_ops ops = {
    .answer_bytes = sizeof(struct reports),
    .answer = answer,
    .forget = forget,
    .free_subject = free_subject,
};

struct question report_ask(struct snapshot *snapshot, int place, struct sluice_span command)
{
    struct subject *subject = alloc_new(sizeof(*subject));

    CHECK(snapshot->chains != NULL && (place == REPORT_ALL || place >= 0));
    subject->snapshot = snapshot_ref(snapshot);
    subject->generation = snapshot->generation;
    subject->place = place;
    subject->first = place == REPORT_ALL ? 0 : (unsigned)place;
    subject->n_places = place == REPORT_ALL ? chain_set_places(snapshot->chains) : 1;
    if (command.ptr) {
        subject->command = alloc_text(command.ptr, command.len);
        subject->command_len = command.len;
    }
    return (struct question){.ops = &ops, .subject = subject, .wait_ms = WAIT_MS};
}

/* -- questions ------------------------------------------------------------------------------ */

static const struct subject *subject_of(const struct inquiry *inquiry)
{
    return inquiry_subject(inquiry);
}

const struct snapshot *report_snapshot(const struct inquiry *inquiry)
{
    return subject_of(inquiry)->snapshot;
}

int report_place(const struct inquiry *inquiry)
{
    return subject_of(inquiry)->place;
}

struct sluice_span report_of(const struct inquiry *inquiry, unsigned worker, unsigned place,
                             bool *cut)
{
    const struct reports *reports = inquiry_answer(inquiry, worker);
    unsigned first = subject_of(inquiry)->first;

    *cut = false;
    if (!reports || place < first || place - first >= reports->n)
        return (struct sluice_span){"", 0};
    *cut = reports->said[place - first].cut;
    return text_span(&reports->said[place - first]);
}
