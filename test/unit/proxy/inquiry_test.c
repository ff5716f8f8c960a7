#include "proxy/inquiry.h"

#include "base/alloc.h"
#include "core/loop.h"
#include "core/mailbox.h"
#include "observe/writer.h"
#include "proxy/worker.h"

#include "unit.h"

enum { WORKERS = 2 };

/* What workers are to do, and what they did. */
struct subject {
    unsigned n_parts; /* turns that an answer takes */
    unsigned *n_left, *n_freed, *n_forgotten;
};

struct said {
    unsigned n_parts, worker;
    unsigned *n_left, *n_forgotten;
};

/* Workers without threads: they hang, until their loop turns, or until they are freed. */
struct scene {
    struct loop *loop;
    struct mailbox *mailbox;
    struct crew crew;
    struct worker *worker[WORKERS];
    unsigned n_done, n_silent, n_parts, n_left, n_freed, n_forgotten;
};

static bool answer(const void *subject_, struct worker *worker, void *said_)
{
    const struct subject *subject = subject_;
    struct said *said = said_;

    said->worker = worker->index;
    said->n_left = subject->n_left;
    said->n_forgotten = subject->n_forgotten;
    if (++said->n_parts < subject->n_parts)
        return false;
    if (worker->mailbox)
        loop_stop(worker->loop);
    return true;
}

static void leave(struct worker *worker, void *said_)
{
    const struct said *said = said_;

    ck_assert_uint_eq(said->worker, worker->index);
    ++*said->n_left;
    if (worker->mailbox)
        loop_stop(worker->loop);
}

static void forget(void *said_)
{
    const struct said *said = said_;

    if (said->n_forgotten)
        ++*said->n_forgotten;
}

static void free_subject(void **subject_)
{
    struct subject *subject = *subject_;

    *subject_ = NULL;
    ++*subject->n_freed;
    alloc_free(subject);
}

static const struct inquiry_ops ops = {.answer_bytes = sizeof(struct said),
                                       .answer = answer,
                                       .leave = leave,
                                       .forget = forget,
                                       .free_subject = free_subject};

static void on_done(void *scene_, const struct inquiry *inquiry)
{
    struct scene *scene = scene_;

    scene->n_done++;
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct said *said = inquiry_answer(inquiry, i);

        scene->n_silent += said == NULL;
        if (said) {
            ck_assert_uint_eq(said->worker, i);
            scene->n_parts += said->n_parts;
        }
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
}

static struct inquiry *begin(struct scene *scene, unsigned n_parts)
{
    struct subject *subject = alloc_new(sizeof(*subject));

    *subject = (struct subject){n_parts, &scene->n_left, &scene->n_freed, &scene->n_forgotten};
    return inquiry_begin(
        &(struct inquiry_wanted){.crew = &scene->crew,
                                 .loop = scene->loop,
                                 .mailbox = scene->mailbox,
                                 .question = {.ops = &ops, .subject = subject, .wait_ms = 30},
                                 .done = on_done,
                                 .arg = scene});
}

static void scene_tear_down(struct scene *scene)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(&scene->worker[i]);
    mailbox_free(&scene->mailbox);
    ck_assert_uint_eq(scene->n_freed, 1);
    ck_assert_uint_eq(scene->n_forgotten, WORKERS);
    writer_free(&scene->crew.writer);
    loop_free(&scene->loop);
}

START_TEST(workers_that_hang_are_not_waited_for)
{
    struct scene scene;

    scene_set_up(&scene);
    (void)begin(&scene, 1);
    ck_assert_uint_eq(scene.n_done, 0);
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_done, 1);
    ck_assert_uint_eq(scene.n_silent, WORKERS);
    scene_tear_down(&scene); /* what they still say is heard by nobody, and freed */
    ck_assert_uint_eq(scene.n_done, 1);
}
END_TEST

START_TEST(all_have_answered_when_it_is_done)
{
    struct scene scene;

    scene_set_up(&scene);
    (void)begin(&scene, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        loop_run(scene.worker[i]->loop);
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_done, 1);
    ck_assert_uint_eq(scene.n_silent, 0);
    ck_assert_uint_eq(scene.n_parts, WORKERS);
    scene_tear_down(&scene);
    ck_assert_uint_eq(scene.n_left, 0);
}
END_TEST

START_TEST(a_long_answer_takes_a_turn_for_each_part)
{
    struct scene scene;
    uint64_t turns;

    scene_set_up(&scene);
    (void)begin(&scene, 5);
    for (unsigned i = 0; i < WORKERS; i++) {
        turns = counter_get(&scene.worker[i]->loop->turns);
        loop_run(scene.worker[i]->loop);
        ck_assert_uint_ge(counter_get(&scene.worker[i]->loop->turns) - turns, 4);
    }
    loop_run(scene.loop);
    ck_assert_uint_eq(scene.n_silent, 0);
    ck_assert_uint_eq(scene.n_parts, 5 * WORKERS);
    scene_tear_down(&scene);
    ck_assert_uint_eq(scene.n_left, 0);
}
END_TEST

START_TEST(an_answer_that_nobody_waits_for_is_not_gone_on_with)
{
    struct scene scene;
    struct inquiry *inquiry;

    scene_set_up(&scene);
    inquiry = begin(&scene, 1000000);
    inquiry_cancel(&inquiry);
    ck_assert_ptr_null(inquiry);
    loop_run(scene.worker[0]->loop); /* asked once, told that nobody waits */
    ck_assert_uint_eq(scene.n_left, 1);
    scene_tear_down(&scene); /* the other one has no next turn */
    ck_assert_uint_eq(scene.n_left, WORKERS);
    ck_assert_uint_eq(scene.n_done, 0);
    inquiry_cancel(&inquiry);
}
END_TEST

START_TEST(a_question_that_is_not_asked_is_forgotten)
{
    unsigned n_freed = 0;
    struct subject *subject = alloc_new(sizeof(*subject));
    struct question question = {.ops = &ops, .subject = subject};

    subject->n_freed = &n_freed;
    question_fini(&question);
    question_fini(&question);
    ck_assert_uint_eq(n_freed, 1);
}
END_TEST

UNIT_MAIN("proxy/inquiry", workers_that_hang_are_not_waited_for, all_have_answered_when_it_is_done,
          a_long_answer_takes_a_turn_for_each_part,
          an_answer_that_nobody_waits_for_is_not_gone_on_with,
          a_question_that_is_not_asked_is_forgotten)
