#include "proxy/inquiry.h"

#include "base/alloc.h"
#include "chain/chain.h"
#include "chain/plugin.h"
#include "core/loop.h"
#include "core/mailbox.h"
#include "proxy/worker.h"

#include "unit.h"

enum { WORKERS = 2 };

/* Workers without threads: they hang, until their mail is opened when they are freed. */
struct scene {
    struct loop *loop;
    struct mailbox *mailbox;
    struct crew crew;
    struct worker *worker[WORKERS];
    struct tally *tally;
    struct chain_home *home;
    struct snapshot snapshot;
    unsigned n_done, n_silent;
    bool stops;
};

static void on_done(void *scene_, const struct inquiry *inquiry)
{
    struct scene *scene = scene_;
    bool cut;

    scene->n_done++;
    for (unsigned i = 0; i < WORKERS; i++) {
        scene->n_silent += !inquiry_answered(inquiry, i);
        ck_assert_uint_eq(inquiry_answer(inquiry, i, 0, &cut).len, 0);
        ck_assert(!cut);
    }
    loop_stop(scene->loop);
}

static void scene_set_up(struct scene *scene)
{
    *scene = (struct scene){.loop = loop_new()};
    ck_assert_int_eq(mailbox_new(&scene->mailbox, scene->loop, scene), OK);
    scene->crew.worker = scene->worker;
    scene->crew.n_workers = WORKERS;
    scene->crew.writer = writer_new();
    for (unsigned i = 0; i < WORKERS; i++) {
        scene->worker[i] = worker_new(&scene->crew, i);
        ck_assert_ptr_nonnull(scene->worker[i]);
    }
    scene->tally = tally_new(WORKERS);
    scene->home = home_new(scene->tally, WORKERS);
    scene->snapshot.refs = 1;
    scene->snapshot.generation = 1;
}

static struct inquiry *begin(struct scene *scene, struct chain_set *set)
{
    scene->snapshot.chains = set;
    return inquiry_begin(&(struct inquiry_wanted){.crew = &scene->crew,
                                                  .loop = scene->loop,
                                                  .mailbox = scene->mailbox,
                                                  .snapshot = &scene->snapshot,
                                                  .place = 0,
                                                  .command = SPAN("open app"),
                                                  .wait_ms = 30,
                                                  .done = on_done,
                                                  .arg = scene});
}

static void scene_tear_down(struct scene *scene)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(&scene->worker[i]);
    mailbox_free(&scene->mailbox);
    ck_assert_uint_eq(scene->snapshot.refs, 1);
    home_free(&scene->home);
    tally_free(&scene->tally);
    writer_free(&scene->crew.writer);
    loop_free(&scene->loop);
}

/* Never looked into: the workers have no view. */
static struct chain_set *some_set(void)
{
    static char bytes[8];

    return (struct chain_set *)(void *)bytes;
}

START_TEST(workers_that_hang_are_not_waited_for)
{
    struct scene scene;

    scene_set_up(&scene);
    (void)begin(&scene, some_set());
    ck_assert_uint_eq(scene.n_done, 0);
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_done, 1);
    ck_assert_uint_eq(scene.n_silent, WORKERS);
    scene_tear_down(&scene); /* what they still say is heard by nobody, and freed */
    ck_assert_uint_eq(scene.n_done, 1);
}
END_TEST

START_TEST(who_has_nothing_to_say_has_answered)
{
    struct scene scene;
    struct inquiry *inquiry;

    scene_set_up(&scene);
    inquiry = begin(&scene, some_set());
    ck_assert_ptr_eq(inquiry_snapshot(inquiry), &scene.snapshot);
    ck_assert_int_eq(inquiry_place(inquiry), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(&scene.worker[i]); /* opens its mail */
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_done, 1);
    ck_assert_uint_eq(scene.n_silent, 0);
    scene_tear_down(&scene);
}
END_TEST

START_TEST(cancelled_means_not_told)
{
    struct scene scene;
    struct inquiry *inquiry;

    scene_set_up(&scene);
    inquiry = begin(&scene, some_set());
    ck_assert_uint_eq(scene.snapshot.refs, 2);
    inquiry_cancel(&inquiry);
    ck_assert_ptr_null(inquiry);
    ck_assert_uint_eq(scene.snapshot.refs, 1);
    scene_tear_down(&scene);
    ck_assert_uint_eq(scene.n_done, 0);
    inquiry_cancel(&inquiry);
}
END_TEST

UNIT_MAIN("proxy/inquiry", workers_that_hang_are_not_waited_for,
          who_has_nothing_to_say_has_answered, cancelled_means_not_told)
