#include "upstream/ejector.h"

#include "crowd.h"
#include "unit.h"
#include "until.h"
#include "upstream/outlier.h"

enum { N = 4 };

struct scene {
    struct crowd *crowd;
    struct ejector ejector;
    struct outlier_conf conf;
};

/* Accusations are judged at once: the letter is opened where it is brought to. */
static void judge(void *it_, struct letter *letter)
{
    struct scene *it = it_;
    struct share *share = share_of_letter(letter);

    ejector_judge(&it->ejector, share, share_take_accused(share));
}

static void obey(struct scene *it)
{
    it->crowd->upstream->outlier = it->conf;
    ejector_set(&it->ejector, &it->conf, it->crowd->upstream->members);
}

static void open_scene(struct scene *it)
{
    it->crowd = crowd_open("balance: round_robin", N, NULL);
    it->conf = (struct outlier_conf){
        .is_written = true,
        .enabled = true,
        .consecutive_5xx = 3,
        .consecutive_gateway = 2,
        .consecutive_local = 3,
        .interval_ms = 3600000,
        .ejection_ms = 3600000,
        .ejection_max_ms = 3600000,
        .max_percent = 50,
        .rate_hosts = 3,
        .rate_volume = 10,
        .rate_factor = 1000,
    };
    ejector_init(&it->ejector, it->crowd->loop, &it->crowd->rng, 1);
    shares_on_accused(it->crowd->shares, judge, it);
    obey(it);
}

static void close_scene(struct scene *it)
{
    ejector_fini(&it->ejector);
    crowd_close(&it->crowd);
}

static void note(const struct scene *it, size_t at, unsigned times, enum outcome outcome)
{
    for (unsigned i = 0; i < times; i++) {
        endpoint_note_outcome(it->crowd->upstream->endpoint[at], outcome);
    }
}

static const struct share *share_at(const struct scene *it, size_t at)
{
    return it->crowd->upstream->endpoint[at]->member.share;
}

static bool is_out(const struct scene *it, size_t at)
{
    return (share_state(share_at(it, at)) & SHARE_EJECTED) != 0;
}

START_TEST(failures_in_a_row_eject)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 2, OUTCOME_5XX);
    ck_assert(!is_out(&it, 1));
    note(&it, 1, 1, OUTCOME_5XX);
    ck_assert(is_out(&it, 1));
    ck_assert_uint_eq(share_at(&it, 1)->n_ejected[EJECT_5XX], 1);
    ck_assert(!is_out(&it, 0));
    close_scene(&it);
}
END_TEST

START_TEST(a_good_answer_ends_a_row)
{
    struct scene it;

    open_scene(&it);
    for (unsigned i = 0; i < 10; i++) {
        note(&it, 1, 2, OUTCOME_5XX);
        note(&it, 2, 2, OUTCOME_LOCAL);
        note(&it, 1, 1, OUTCOME_GOOD);
        note(&it, 2, 1, OUTCOME_GOOD);
    }
    ck_assert(!is_out(&it, 1) && !is_out(&it, 2));
    close_scene(&it);
}
END_TEST

START_TEST(tries_without_an_answer_are_a_row_of_their_own)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 2, OUTCOME_LOCAL);
    note(&it, 1, 1, OUTCOME_5XX); /* an answer: it can be reached */
    note(&it, 1, 2, OUTCOME_LOCAL);
    ck_assert(!is_out(&it, 1));
    note(&it, 1, 2, OUTCOME_5XX); /* the third answer of this kind */
    ck_assert(is_out(&it, 1));
    ck_assert_int_eq(share_at(&it, 1)->ejection.cause, EJECT_5XX);
    note(&it, 2, 3, OUTCOME_LOCAL);
    ck_assert_int_eq(share_at(&it, 2)->ejection.cause, EJECT_LOCAL);
    close_scene(&it);
}
END_TEST

START_TEST(answers_of_a_gateway_count_for_both_rows)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 1, OUTCOME_GATEWAY);
    note(&it, 1, 1, OUTCOME_5XX);
    ck_assert(!is_out(&it, 1));
    note(&it, 1, 1, OUTCOME_GATEWAY);
    ck_assert_int_eq(share_at(&it, 1)->ejection.cause, EJECT_5XX);
    note(&it, 2, 2, OUTCOME_GATEWAY);
    ck_assert_int_eq(share_at(&it, 2)->ejection.cause, EJECT_GATEWAY);
    close_scene(&it);
}
END_TEST

START_TEST(the_cap_holds_and_is_counted)
{
    struct scene it;

    open_scene(&it);
    for (size_t at = 0; at < N; at++) {
        note(&it, at, 3, OUTCOME_5XX);
    }
    ck_assert(is_out(&it, 0) && is_out(&it, 1) && !is_out(&it, 2) && !is_out(&it, 3));
    ck_assert_uint_eq(share_at(&it, 0)->group->n_ejected_not, 2);
    note(&it, 2, 3, OUTCOME_5XX); /* a row of its own again */
    ck_assert_uint_eq(share_at(&it, 0)->group->n_ejected_not, 3);
    close_scene(&it);
}
END_TEST

START_TEST(who_is_out_is_not_ejected_again)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 30, OUTCOME_LOCAL);
    ck_assert_uint_eq(share_at(&it, 1)->n_ejected[EJECT_LOCAL], 1);
    ck_assert_uint_eq(share_at(&it, 1)->ejection.times, 1);
    close_scene(&it);
}
END_TEST

static bool is_back(void *it)
{
    return !is_out(it, 1);
}

START_TEST(it_comes_back_when_its_time_is_over)
{
    struct scene it;

    open_scene(&it);
    it.conf.ejection_ms = it.conf.ejection_max_ms = 20;
    obey(&it);
    note(&it, 1, 2, OUTCOME_5XX);
    note(&it, 1, 3, OUTCOME_LOCAL);
    ck_assert(is_out(&it, 1));
    loop_until(it.crowd->loop, is_back, &it);
    note(&it, 1, 2, OUTCOME_5XX); /* the row of before is forgotten */
    ck_assert(!is_out(&it, 1));
    close_scene(&it);
}
END_TEST

static bool is_out_now(void *it)
{
    return is_out(it, 1);
}

START_TEST(a_low_success_rate_ejects_at_the_interval)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 1000, OUTCOME_GOOD); /* of before: not of the interval */
    it.conf.consecutive_5xx = 0;
    ejector_set(&it.ejector, &(struct outlier_conf){0}, it.crowd->upstream->members);
    it.conf.interval_ms = 20;
    obey(&it);
    for (size_t at = 0; at < N; at++) {
        note(&it, at, 20, OUTCOME_GOOD);
    }
    note(&it, 1, 20, OUTCOME_5XX);
    loop_until(it.crowd->loop, is_out_now, &it);
    ck_assert_int_eq(share_at(&it, 1)->ejection.cause, EJECT_SUCCESS_RATE);
    ck_assert(!is_out(&it, 0) && !is_out(&it, 2) && !is_out(&it, 3));
    close_scene(&it);
}
END_TEST

START_TEST(turned_off_nobody_stays_out)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 3, OUTCOME_5XX);
    it.conf.enabled = false;
    obey(&it);
    ck_assert(!is_out(&it, 1));
    note(&it, 1, 30, OUTCOME_5XX);
    ck_assert(!is_out(&it, 1));
    close_scene(&it);
}
END_TEST

START_TEST(an_ejection_outlives_other_members)
{
    struct scene it;

    open_scene(&it);
    note(&it, 1, 3, OUTCOME_5XX);
    crowd_set(it.crowd, "balance: random", 2, 6, NULL); /* it is gone */
    obey(&it);
    crowd_set(it.crowd, "balance: random", 0, 3, NULL); /* and back */
    obey(&it);
    ck_assert(is_out(&it, 1));
    ck_assert_uint_eq(it.crowd->upstream->everything.candidates.n, 2);
    close_scene(&it);
}
END_TEST

UNIT_MAIN("upstream/ejector", failures_in_a_row_eject, a_good_answer_ends_a_row,
          tries_without_an_answer_are_a_row_of_their_own, answers_of_a_gateway_count_for_both_rows,
          the_cap_holds_and_is_counted, who_is_out_is_not_ejected_again,
          it_comes_back_when_its_time_is_over, a_low_success_rate_ejects_at_the_interval,
          turned_off_nobody_stays_out, an_ejection_outlives_other_members)
