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
        ck_assert_uint_eq(crowd->upstream->everything.candidates.n, N - 1);
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

START_TEST(below_the_panic_threshold_everybody_is_picked)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], N, NULL);
        const struct candidates *candidates = &crowd->upstream->everything.candidates;
        unsigned count[N];

        for (size_t at = 0; at < N; at++) {
            say(crowd, at, at % 2 ? SHARE_EJECTED : SHARE_CHECK_FAILED, true);
        }
        for (size_t n_well = 0; n_well < N / 2; n_well++) {
            count_picks(crowd, true, count);
            for (size_t at = 0; at < N; at++) {
                ck_assert_msg(count[at] > 0, "%s: %zu of %zu well", all_rules[i], at, n_well);
            }
            ck_assert(candidates->panic);
            say(crowd, n_well, SHARE_EJECTED, false);
            say(crowd, n_well, SHARE_CHECK_FAILED, false);
        }
        count_picks(crowd, true, count);
        for (size_t at = 0; at < N; at++) {
            ck_assert_msg((count[at] > 0) == (at < N / 2), "%s: %zu", all_rules[i], at);
        }
        ck_assert(!candidates->panic);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(without_panic_nobody_is_picked_when_nobody_is_well)
{
    for (size_t i = 0; i < RULES; i++) {
        char more[128];
        struct crowd *crowd;

        snprintf(more, sizeof(more), "%s, panic_threshold: 0", all_rules[i]);
        crowd = crowd_open(more, 2, NULL);
        say(crowd, 0, SHARE_EJECTED, true);
        ck_assert_uint_eq(pick(crowd, 7), 1);
        say(crowd, 1, SHARE_EJECTED, true);
        ck_assert_ptr_null(crowd_pick(crowd, NULL));
        say(crowd, 0, SHARE_EJECTED, false);
        ck_assert_uint_eq(pick(crowd, 7), 0);
        crowd_close(&crowd);
    }
}
END_TEST

/* -- priorities -------------------------------------------------------------- */

/* Two levels of five. */
static const char *two_levels(size_t i)
{
    return i < N / 2 ? "priority: 0" : "priority: 3";
}

/* How many of the picks were of the first level. */
static double first_part(struct crowd *crowd, bool keyed, unsigned count[N])
{
    unsigned n = 0;

    count_picks(crowd, keyed, count);
    for (size_t i = 0; i < N / 2; i++) {
        n += count[i];
    }
    return (double)n / PICKS;
}

START_TEST(a_level_hands_over_what_it_cannot_take)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open_as(all_rules[i], N, NULL, two_levels);
        unsigned count[N];

        ck_assert_double_eq(first_part(crowd, true, count), 1);
        say(crowd, 0, SHARE_EJECTED, true); /* 4 of 5, times 1.4, is enough */
        ck_assert_double_eq(first_part(crowd, true, count), 1);
        say(crowd, 1, SHARE_EJECTED, true); /* 0.84 */
        ck_assert_double_eq_tol(first_part(crowd, true, count), 0.84, 0.01);
        say(crowd, 2, SHARE_EJECTED, true); /* 0.56 */
        ck_assert_double_eq_tol(first_part(crowd, true, count), 0.56, 0.01);
        for (size_t at = 5; at < N; at++) {
            ck_assert_msg(count[at] > PICKS / 20, "%s: %zu has %u", all_rules[i], at, count[at]);
        }
        say(crowd, 3, SHARE_EJECTED, true);
        say(crowd, 4, SHARE_EJECTED, true);
        ck_assert_double_eq(first_part(crowd, true, count), 0);
        say(crowd, 2, SHARE_EJECTED, false);
        say(crowd, 3, SHARE_EJECTED, false);
        say(crowd, 4, SHARE_EJECTED, false);
        say(crowd, 1, SHARE_EJECTED, false);
        ck_assert_double_eq(first_part(crowd, true, count), 1);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(keys_that_stay_in_a_level_stay_with_their_endpoint)
{
    for (size_t i = 4; i < 6; i++) {
        struct crowd *crowd = crowd_open_as(all_rules[i], N, NULL, two_levels);
        size_t before[1000];
        unsigned n_moved = 0;

        for (unsigned key = 0; key < 1000; key++) {
            before[key] = pick(crowd, key);
        }
        say(crowd, 0, SHARE_EJECTED, true);
        say(crowd, 1, SHARE_EJECTED, true); /* 16% go to the other level */
        for (unsigned key = 0; key < 1000; key++) {
            size_t now = pick(crowd, key);

            ck_assert_uint_eq(pick(crowd, key), now);
            if (before[key] > 1 && now != before[key]) {
                ck_assert_uint_ge(now, N / 2);
                n_moved++;
            }
        }
        ck_assert_uint_gt(n_moved, 60); /* 96 of the 600 whose endpoint is well */
        ck_assert_uint_lt(n_moved, 140);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(a_second_try_goes_to_the_next_level_when_the_first_has_nobody_else)
{
    struct crowd *crowd = crowd_open_as("balance: random", N, NULL, two_levels);
    struct lease lease;

    lease_init(&lease, NULL, NULL);
    for (unsigned tries = 0; tries < N / 2; tries++) {
        lease.endpoint = upstream_pick(crowd->upstream, &lease);
        ck_assert_uint_lt(crowd_index(crowd, lease.endpoint), N / 2);
        lease_mark_tried(&lease);
    }
    lease.endpoint = upstream_pick(crowd->upstream, &lease);
    ck_assert_uint_ge(crowd_index(crowd, lease.endpoint), N / 2);
    crowd_close(&crowd);
}
END_TEST

START_TEST(all_levels_in_panic_share_by_their_size)
{
    struct crowd *crowd = crowd_open_as("balance: random", N, NULL, two_levels);
    unsigned count[N];

    for (size_t at = 0; at < N; at++) {
        say(crowd, at, SHARE_CHECK_FAILED, true);
    }
    ck_assert_double_eq_tol(first_part(crowd, false, count), 0.5, 0.01);
    for (size_t at = 0; at < N; at++) {
        ck_assert_uint_gt(count[at], PICKS / 12);
    }
    crowd_close(&crowd);
}
END_TEST

static const char *one_failing(size_t i)
{
    return i < N / 2 ? "state: failing" : "priority: 1";
}

START_TEST(who_fails_counts_as_not_well_and_is_the_last_resort)
{
    struct crowd *crowd = crowd_open_as("balance: maglev, hash: source", N, NULL, one_failing);
    unsigned n_failing = 0;

    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_uint_lt(pick(crowd, i), N / 2); /* those in rotation come first */
    }
    for (size_t at = 0; at < N / 2; at++) {
        say(crowd, at, SHARE_EJECTED, true);
    }
    for (unsigned i = 0; i < 1000; i++) {
        n_failing += pick(crowd, i) >= N / 2;
    }
    ck_assert_uint_gt(n_failing, 400);
    ck_assert_uint_lt(n_failing, 600);
    crowd_close(&crowd);
}
END_TEST

/* -- zones ------------------------------------------------------------------- */

/* Two of ten in zone a, the others in b. */
static const char *two_zones(size_t i)
{
    return i % 5 == 0 ? "zone: a" : "zone: b";
}

static double near_part(struct crowd *crowd, unsigned count[N])
{
    count_picks(crowd, true, count);
    return (double)(count[0] + count[5]) / PICKS;
}

START_TEST(our_own_zone_gets_what_its_capacity_allows)
{
    for (size_t i = 0; i < RULES; i++) {
        char more[128];
        struct crowd *crowd;
        unsigned count[N];

        snprintf(more, sizeof(more), "%s, zone_preference: true", all_rules[i]);
        crowd = crowd_open_as(more, N, NULL, two_zones);
        ck_assert_double_eq_tol(near_part(crowd, count), 0.2, 0.1); /* ours is not known */
        crowd->zone = "a";
        crowd_set_as(crowd, more, 0, N, NULL, two_zones);
        ck_assert_double_eq_tol(near_part(crowd, count), 0.4, 0.015); /* 2 of 10, times 2 zones */
        ck_assert_uint_gt(count[0], PICKS * 15 / 100);
        ck_assert_uint_gt(count[1], PICKS * 4 / 100);
        say(crowd, 5, SHARE_EJECTED, true);
        ck_assert_double_eq_tol(near_part(crowd, count), 2.0 / 9, 0.01);
        crowd->zone = "b"; /* has more than its part: all stay */
        crowd_set_as(crowd, more, 0, N, NULL, two_zones);
        ck_assert_double_eq(near_part(crowd, count), 0);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(few_endpoints_and_panic_know_no_zones)
{
    struct crowd *crowd = crowd_open_as("balance: random", 5, NULL, two_zones);
    const struct candidates *candidates;

    crowd->zone = "a";
    crowd_set_as(crowd, "zone_preference: true", 0, 5, NULL, two_zones);
    candidates = &crowd->upstream->everything.candidates;
    (void)crowd_pick(crowd, NULL);
    ck_assert_uint_eq(candidates->n_bands, 1);
    crowd_set_as(crowd, "zone_preference: { min_endpoints: 2 }", 0, 5, NULL, two_zones);
    (void)crowd_pick(crowd, NULL);
    ck_assert_uint_eq(candidates->n_bands, 2);
    for (size_t at = 2; at < 5; at++) {
        say(crowd, at, SHARE_EJECTED, true);
    }
    (void)crowd_pick(crowd, NULL);
    ck_assert_uint_eq(candidates->n_bands, 1);
    ck_assert(candidates->panic);
    crowd_close(&crowd);
}
END_TEST

/* -- subsets ----------------------------------------------------------------- */

/* One canary of ten, in the second level. */
static const char *one_canary(size_t i)
{
    return i == 3 ? "tags: [ canary, x ], meta: { version: v2 }, priority: 1" : "tags: [ stable ]";
}

static struct subset tagged(struct sluice_span *tag, enum subset_fallback fallback)
{
    return (struct subset){.tags = {tag, 1}, .fallback = fallback};
}

static struct endpoint *pick_of(struct crowd *crowd, struct selection *selection, uint64_t key)
{
    struct lease lease;

    lease_init(&lease, NULL, NULL);
    lease.selection = selection;
    lease.has_key = true;
    lease.key = balance_mix(key);
    return upstream_pick(crowd->upstream, &lease);
}

START_TEST(a_subset_gets_its_own_requests_only)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open_as(all_rules[i], N, NULL, one_canary);
        struct sluice_span canary = SPAN("canary");
        struct sluice_span stable = SPAN("stable");
        struct subset of_canary = tagged(&canary, SUBSET_NONE);
        struct subset of_stable = tagged(&stable, SUBSET_NONE);
        struct selection *few = upstream_select(crowd->upstream, &of_canary);
        struct selection *many = upstream_select(crowd->upstream, &of_stable);
        struct selection *same = upstream_select(crowd->upstream, &of_canary);
        unsigned count[N] = {0};

        ck_assert_ptr_eq(few, same);
        for (unsigned key = 0; key < PICKS; key++) {
            ck_assert_uint_eq(crowd_index(crowd, pick_of(crowd, few, key)), 3);
            count[crowd_index(crowd, pick_of(crowd, many, key))]++;
        }
        for (size_t at = 0; at < N; at++) {
            ck_assert_msg((count[at] > PICKS / 20) == (at != 3), "%s: %zu has %u", all_rules[i], at,
                          count[at]);
        }
        selection_unref(&same);
        selection_unref(&few);
        selection_unref(&many);
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(a_subset_follows_the_members)
{
    struct crowd *crowd = crowd_open_as("balance: random", 3, NULL, one_canary);
    struct sluice_span canary = SPAN("canary");
    struct subset subset = tagged(&canary, SUBSET_NONE);
    struct selection *selection = upstream_select(crowd->upstream, &subset);

    ck_assert_ptr_null(pick_of(crowd, selection, 1));
    crowd_set_as(crowd, "balance: random", 0, N, NULL, one_canary);
    ck_assert_uint_eq(crowd_index(crowd, pick_of(crowd, selection, 1)), 3);
    selection_unref(&selection);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_subset_that_is_not_well_falls_back_if_that_is_wanted)
{
    struct crowd *crowd = crowd_open_as("balance: random", N, NULL, one_canary);
    struct sluice_span canary = SPAN("canary");
    struct subset strict = tagged(&canary, SUBSET_NONE);
    struct subset open = tagged(&canary, SUBSET_ANY);
    struct selection *none = upstream_select(crowd->upstream, &strict);
    struct selection *any = upstream_select(crowd->upstream, &open);

    ck_assert_ptr_ne(none, any);
    ck_assert_uint_eq(crowd_index(crowd, pick_of(crowd, any, 1)), 3);
    say(crowd, 3, SHARE_EJECTED, true);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_uint_eq(crowd_index(crowd, pick_of(crowd, none, i)), 3); /* panic */
        ck_assert_uint_ne(crowd_index(crowd, pick_of(crowd, any, i)), 3);
    }
    selection_unref(&none);
    selection_unref(&any);
    crowd_close(&crowd);
}
END_TEST

START_TEST(tags_and_meta_must_all_be_there)
{
    struct sluice_span tags[] = {SPAN("canary"), SPAN("x"), SPAN("y")};
    struct found_pair meta = {SPAN("version"), SPAN("v2")};
    struct subset_meta wanted = {.named = {.name = SPAN("version")}, .value = SPAN("v2")};
    const struct found_endpoint facts = {.tags = tags, .n_tags = 2, .meta = &meta, .n_meta = 1};

    ck_assert(selection_fits(&(struct subset){.tags = {tags, 2}, .meta = {&wanted, 1}}, &facts));
    ck_assert(!selection_fits(&(struct subset){.tags = {tags, 3}}, &facts));
    wanted.value = SPAN("v3");
    ck_assert(!selection_fits(&(struct subset){.meta = {&wanted, 1}}, &facts));
    wanted.named.name = SPAN("other");
    ck_assert(!selection_fits(&(struct subset){.meta = {&wanted, 1}}, &facts));
    ck_assert(selection_fits(&(struct subset){.fallback = SUBSET_ANY}, &facts));
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
          the_bound_is_about_those_that_are_left, below_the_panic_threshold_everybody_is_picked,
          without_panic_nobody_is_picked_when_nobody_is_well,
          a_level_hands_over_what_it_cannot_take,
          keys_that_stay_in_a_level_stay_with_their_endpoint,
          a_second_try_goes_to_the_next_level_when_the_first_has_nobody_else,
          all_levels_in_panic_share_by_their_size,
          who_fails_counts_as_not_well_and_is_the_last_resort,
          our_own_zone_gets_what_its_capacity_allows, few_endpoints_and_panic_know_no_zones,
          a_subset_gets_its_own_requests_only, a_subset_follows_the_members,
          a_subset_that_is_not_well_falls_back_if_that_is_wanted, tags_and_meta_must_all_be_there,
          who_comes_back_begins_slowly, what_is_known_stays_with_the_address,
          a_lease_does_not_wait_for_who_is_out)
