#include "upstream/candidates.h"

#include "crowd.h"
#include "unit.h"

#include <stdio.h>

enum { N = 10, PICKS = 50000 };

static const char *const all_rules[] = {
    "balance: round_robin",
    "balance: least_requests",
    "balance: random",
    "balance: peak_ewma",
    "balance: ring_hash, hash: source",
    "balance: maglev, hash: source",
    "balance: maglev, hash: { by: source, bound: 125% }",
    "balance: sticky_cookie",
};

enum { RULES = sizeof(all_rules) / sizeof(all_rules[0]) };

static void say(const struct crowd *crowd, size_t at, enum share_cause cause, bool on)
{
    share_set(crowd->upstream->endpoint[at]->member.share, cause, on);
}

static size_t pick(struct crowd *crowd, uint64_t key)
{
    uint64_t hash = balance_mix(key);

    return crowd_index(crowd, crowd_pick(crowd, &hash));
}

/* How often each is picked; keyed: each time for another key. */
static void count_picks(struct crowd *crowd, bool keyed, unsigned count[N])
{
    for (size_t i = 0; i < N; i++) {
        count[i] = 0;
    }
    for (unsigned i = 0; i < PICKS; i++) {
        count[keyed ? pick(crowd, i) : crowd_index(crowd, crowd_pick(crowd, NULL))]++;
    }
}

START_TEST(who_is_out_is_never_picked_and_comes_back)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], N, NULL);
        unsigned count[N];

        say(crowd, 2, SHARE_EJECTED, true);
        say(crowd, 7, SHARE_CHECK_FAILED, true);
        count_picks(crowd, true, count);
        for (size_t at = 0; at < N; at++) {
            ck_assert_msg((count[at] == 0) == (at == 2 || at == 7), "%s: %zu has %u", all_rules[i],
                          at, count[at]);
        }
        say(crowd, 2, SHARE_EJECTED, false);
        count_picks(crowd, true, count);
        ck_assert_msg(count[2] > 0 && count[7] == 0, "%s", all_rules[i]);
        ck_assert_uint_eq(crowd->upstream->candidates.n, N - 1);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(all_causes_must_be_gone)
{
    struct crowd *crowd = crowd_open("balance: random", 2, NULL);

    say(crowd, 0, SHARE_EJECTED, true);
    say(crowd, 0, SHARE_CHECK_FAILED, true);
    say(crowd, 0, SHARE_EJECTED, false);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_uint_eq(pick(crowd, i), 1);
    }
    crowd_close(&crowd);
}
END_TEST

START_TEST(the_share_of_who_is_out_goes_to_all_others_alike)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], N, NULL);
        unsigned count[N];

        /* Neighbours, all of them: what is out must not send its share to who comes next. */
        for (size_t at = 0; at < N / 2; at++) {
            say(crowd, at, SHARE_EJECTED, true);
        }
        count_picks(crowd, false, count);
        for (size_t at = N / 2; at < N; at++) {
            ck_assert_msg(count[at] > PICKS / 5 * 9 / 10 && count[at] < PICKS / 5 * 11 / 10,
                          "%s: %zu has %u", all_rules[i], at, count[at]);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(keys_of_who_is_out_move_and_no_others)
{
    for (size_t i = 4; i < 6; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], N, NULL);
        size_t before[1000];
        unsigned moved_to[N] = {0};

        for (unsigned key = 0; key < 1000; key++) {
            before[key] = pick(crowd, key);
        }
        say(crowd, 4, SHARE_EJECTED, true);
        for (unsigned key = 0; key < 1000; key++) {
            size_t now = pick(crowd, key);

            ck_assert(before[key] == now || before[key] == 4);
            moved_to[now] += before[key] == 4;
        }
        for (size_t at = 0; at < N; at++) {
            ck_assert_msg((moved_to[at] > 0) == (at != 4), "%s: %zu", all_rules[i], at);
        }
        say(crowd, 4, SHARE_EJECTED, false);
        for (unsigned key = 0; key < 1000; key++) {
            ck_assert_uint_eq(pick(crowd, key), before[key]);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(the_bound_is_about_those_that_are_left)
{
    struct crowd *crowd = crowd_open(all_rules[6], N, NULL);
    uint64_t key = balance_mix(1);
    struct endpoint *first;

    for (size_t at = 0; at < N / 2; at++) {
        say(crowd, at, SHARE_EJECTED, true);
    }
    first = crowd_pick(crowd, &key);
    for (size_t at = N / 2; at < N; at++) {
        crowd_busy(crowd->upstream->endpoint[at], 100);
    }
    ck_assert_ptr_eq(crowd_pick(crowd, &key), first); /* 125 would be too many, 100 are not */
    crowd_busy(first, 60);
    ck_assert_ptr_ne(crowd_pick(crowd, &key), first);
    crowd_close(&crowd);
}
END_TEST

START_TEST(when_nobody_is_well_everybody_is_picked)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], N, NULL);
        unsigned count[N];

        for (size_t at = 0; at < N; at++) {
            say(crowd, at, at % 2 ? SHARE_EJECTED : SHARE_CHECK_FAILED, true);
        }
        count_picks(crowd, true, count);
        for (size_t at = 0; at < N; at++) {
            ck_assert_msg(count[at] > 0, "%s: %zu", all_rules[i], at);
        }
        ck_assert(crowd->upstream->candidates.panic);
        say(crowd, 3, SHARE_EJECTED, false);
        count_picks(crowd, true, count);
        ck_assert_uint_eq(count[3], PICKS);
        ck_assert(!crowd->upstream->candidates.panic);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(who_comes_back_begins_slowly)
{
    struct crowd *crowd = crowd_open("balance: random, slow_start: 1h", N, NULL);
    struct endpoint *endpoint = crowd->upstream->endpoint[1];

    say(crowd, 1, SHARE_EJECTED, true);
    (void)pick(crowd, 0);
    say(crowd, 1, SHARE_EJECTED, false);
    (void)pick(crowd, 0);
    ck_assert_uint_eq(endpoint_weight(endpoint), ENDPOINT_FULL / 10);
    ck_assert_uint_eq(endpoint_weight(crowd->upstream->endpoint[0]), ENDPOINT_FULL);
    ck_assert(upstream_is_warming(crowd->upstream));
    crowd_close(&crowd);
}
END_TEST

START_TEST(what_is_known_stays_with_the_address)
{
    struct crowd *crowd = crowd_open("balance: round_robin", N, NULL);

    say(crowd, 9, SHARE_EJECTED, true);
    crowd_set(crowd, "balance: random", 8, 12, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_uint_ne(pick(crowd, i), 1);
    }
    crowd_set(crowd, "balance: random", 0, 1, NULL); /* gone, and back */
    crowd_set(crowd, "balance: random", 9, 11, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_uint_eq(pick(crowd, i), 1);
    }
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_lease_does_not_wait_for_who_is_out)
{
    struct crowd *crowd = crowd_open("balance: round_robin", 2, NULL);
    struct lease lease;

    say(crowd, 1, SHARE_EJECTED, true);
    lease_init(&lease, NULL, NULL);
    lease.endpoint = crowd->upstream->endpoint[0];
    lease_mark_tried(&lease);
    ck_assert_int_eq(upstream_lease(crowd->upstream, &lease), ERR_MISSING);
    crowd_close(&crowd);
}
END_TEST

UNIT_MAIN("upstream/candidates", who_is_out_is_never_picked_and_comes_back, all_causes_must_be_gone,
          the_share_of_who_is_out_goes_to_all_others_alike, keys_of_who_is_out_move_and_no_others,
          the_bound_is_about_those_that_are_left, when_nobody_is_well_everybody_is_picked,
          who_comes_back_begins_slowly, what_is_known_stays_with_the_address,
          a_lease_does_not_wait_for_who_is_out)
