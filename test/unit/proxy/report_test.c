#include "proxy/report.h"

#include "base/alloc.h"
#include "chain/chain.h"
#include "core/loop.h"
#include "core/mailbox.h"
#include "observe/writer.h"
#include "proxy/worker.h"

#include "unit.h"

struct scene {
    struct loop *loop;
    struct mailbox *mailbox;
    struct crew crew;
    struct worker *worker;
    struct snapshot snapshot;
    unsigned n_done;
};

/* Never looked into: the worker has no view. */
static struct chain_set *some_set(void)
{
    static char bytes[8];

    return (struct chain_set *)(void *)bytes;
}

static void on_done(void *scene_, const struct inquiry *inquiry)
{
    struct scene *scene = scene_;
    bool cut;

    scene->n_done++;
    ck_assert_ptr_nonnull(inquiry_answer(inquiry, 0));
    ck_assert_ptr_eq(report_snapshot(inquiry), &scene->snapshot);
    ck_assert_int_eq(report_place(inquiry), 3);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(report_of(inquiry, 0, i, &cut).len, 0);
        ck_assert(!cut);
    }
    loop_stop(scene->loop);
}

START_TEST(who_has_nothing_to_say_has_answered)
{
    struct scene scene = {.loop = loop_new()};

    ck_assert_int_eq(mailbox_new(&scene.mailbox, scene.loop, &scene), OK);
    scene.crew = (struct crew){.worker = &scene.worker, .n_workers = 1, .writer = writer_new()};
    scene.worker = worker_new(&scene.crew, 0);
    scene.snapshot = (struct snapshot){.refs = 1, .generation = 1, .chains = some_set()};
    (void)inquiry_begin(
        &(struct inquiry_wanted){.crew = &scene.crew,
                                 .loop = scene.loop,
                                 .mailbox = scene.mailbox,
                                 .question = report_ask(&scene.snapshot, 3, SPAN("open app")),
                                 .done = on_done,
                                 .arg = &scene});
    ck_assert_uint_eq(scene.snapshot.refs, 2);
    worker_free(&scene.worker); /* opens its mail */
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_done, 1);
    ck_assert_uint_eq(scene.snapshot.refs, 1);
    mailbox_free(&scene.mailbox);
    writer_free(&scene.crew.writer);
    loop_free(&scene.loop);
}
END_TEST

UNIT_MAIN("proxy/report", who_has_nothing_to_say_has_answered)
