#include "upstream/balance.h"

#include "crowd.h"
#include "unit.h"

#include <stdio.h>

enum { MAX = 64, PICKS = 100000, KEYS = 20000, FLIGHT = 550 };

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

static unsigned by_index(size_t i)
{
    return (unsigned)i + 1;
}

static uint64_t key_of(uint64_t number)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "user-%llu", (unsigned long long)number);

    return balance_hash(span_make(text, (size_t)n));
}

static void count_picks(struct crowd *crowd, unsigned picks, bool keyed, unsigned count[MAX])
{
    for (size_t i = 0; i < MAX; i++) {
        count[i] = 0;
    }
    for (unsigned i = 0; i < picks; i++) {
        uint64_t key = key_of(i);

        count[crowd_index(crowd, crowd_pick(crowd, keyed ? &key : NULL))]++;
    }
}

/* How far counts are from shares by weight: the statistic of the chi-square test. */
static double chi_square(const struct crowd *crowd, const unsigned count[MAX])
{
    size_t n = crowd->upstream->n_endpoints;
    double weights = 0;
    double picks = 0;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        weights += crowd->upstream->endpoint[i]->member.weight;
        picks += count[i];
    }
    for (size_t i = 0; i < n; i++) {
        double want = picks * crowd->upstream->endpoint[i]->member.weight / weights;

        sum += (count[i] - want) * (count[i] - want) / want;
    }
    return sum;
}

/* A fair rule is above it once in a thousand seeds, and there is one seed. 9 degrees of freedom. */
static const double CHI_SQUARE_9 = 27.88;

/* -- all rules ------------------------------------------------------------- */

START_TEST(nobody_is_picked_from_an_empty_upstream)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], 1, NULL);
        uint64_t key = 1;
        size_t n = crowd->upstream->n_endpoints;

        crowd->upstream->n_endpoints = 0;
        candidates_renew(crowd->upstream);
        ck_assert_ptr_null(crowd_pick(crowd, NULL));
        ck_assert_ptr_null(crowd_pick(crowd, &key));
        crowd->upstream->n_endpoints = n;
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(a_single_endpoint_is_always_picked)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], 1, NULL);

        for (uint64_t key = 0; key < 100; key++) {
            uint64_t hash = key_of(key);

            ck_assert_ptr_eq(crowd_pick(crowd, &hash), crowd->upstream->endpoint[0]);
            ck_assert_ptr_eq(crowd_pick(crowd, NULL), crowd->upstream->endpoint[0]);
            crowd_busy(crowd->upstream->endpoint[0], 1);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(who_is_full_is_never_picked)
{
    for (size_t i = 0; i < RULES; i++) {
        char more[128];
        struct crowd *crowd;
        unsigned count[MAX];

        snprintf(more, sizeof(more), "%s, connections: { max: 1 }", all_rules[i]);
        crowd = crowd_open(more, 20, NULL);
        for (size_t at = 0; at < 20; at++) {
            if (at % 5 != 3)
                crowd_fill(crowd->upstream->endpoint[at]);
        }
        count_picks(crowd, 2000, true, count);
        for (size_t at = 0; at < 20; at++) {
            ck_assert_msg((count[at] > 0) == (at % 5 == 3), "%s: endpoint %zu has %u", more, at,
                          count[at]);
        }
        for (size_t at = 3; at < 20; at += 5) {
            crowd_fill(crowd->upstream->endpoint[at]);
        }
        ck_assert_ptr_null(crowd_pick(crowd, NULL));
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(who_was_tried_is_not_picked_again)
{
    for (size_t i = 0; i < RULES; i++) {
        struct crowd *crowd = crowd_open(all_rules[i], 3, NULL);
        struct lease lease;

        lease_init(&lease, NULL, NULL);
        lease.has_key = true;
        lease.key = key_of(7);
        for (unsigned tries = 0; tries < 3; tries++) {
            lease.endpoint = upstream_pick(crowd->upstream, &lease);
            ck_assert_ptr_nonnull(lease.endpoint);
            ck_assert(lease_may_try(&lease, lease.endpoint));
            lease_mark_tried(&lease);
        }
        ck_assert_ptr_null(upstream_pick(crowd->upstream, &lease));
        crowd_close(&crowd);
    }
}
END_TEST

/* -- every rule follows the weights ------------------------------------------ */

/* 1 for one, 10 for the others: who is light must not starve. */
static unsigned one_light(size_t i)
{
    return i == 0 ? 1 : 10;
}

static const char *const unkeyed[] = {
    "balance: round_robin",
    "balance: least_requests",
    "balance: random",
    "balance: ring_hash, hash: source",
    "balance: maglev, hash: source",
    "balance: sticky_cookie",
};

START_TEST(idle_endpoints_are_picked_by_weight)
{
    for (size_t i = 0; i < sizeof(unkeyed) / sizeof(unkeyed[0]); i++) {
        struct crowd *crowd = crowd_open(unkeyed[i], 10, by_index);
        unsigned count[MAX];

        crowd->rng.state[1] = 7919; /* a sequence of our own */
        count_picks(crowd, PICKS, false, count);
        ck_assert_msg(chi_square(crowd, count) < CHI_SQUARE_9, "%s: %f", unkeyed[i],
                      chi_square(crowd, count));
        crowd_set(crowd, unkeyed[i], 0, 10, one_light);
        count_picks(crowd, PICKS, false, count);
        ck_assert_msg(chi_square(crowd, count) < CHI_SQUARE_9, "%s: %f", unkeyed[i],
                      chi_square(crowd, count));
        crowd_close(&crowd);
    }
}
END_TEST

/*
 * Requests that come and go in the order they came, many at a time: the share of each endpoint
 * follows its weight.
 */
START_TEST(busy_endpoints_are_picked_by_weight)
{
    static const char *const rules[] = {"balance: least_requests", "balance: peak_ewma"};

    for (size_t i = 0; i < 2; i++) {
        struct crowd *crowd = crowd_open(rules[i], 10, by_index);
        struct endpoint *flight[FLIGHT] = {NULL};
        unsigned count[MAX] = {0};

        for (size_t at = 0; at < 10; at++) {
            endpoint_note_latency(crowd->upstream->endpoint[at], 1000);
        }
        for (unsigned n = 0; n < PICKS; n++) {
            struct endpoint *endpoint = crowd_pick(crowd, NULL);
            struct endpoint **place = &flight[n % FLIGHT];

            if (*place) {
                (*place)->active--;
                crowd->upstream->n_active--;
            }
            *place = endpoint;
            crowd_busy(endpoint, 1);
            count[crowd_index(crowd, endpoint)]++;
        }
        for (size_t at = 0; at < 10; at++) {
            double want = PICKS * (double)by_index(at) / 55;

            ck_assert_msg(count[at] > want * 0.85 && count[at] < want * 1.15,
                          "%s: endpoint %zu has %u, should have about %.0f", rules[i], at,
                          count[at], want);
        }
        crowd_close(&crowd);
    }
}
END_TEST

/* -- round robin among many ---------------------------------------------------- */

static unsigned uneven(size_t i)
{
    return i % 3 ? 1 : 5;
}

/* In a round of the weights together each endpoint has as many turns as its weight says. */
START_TEST(many_endpoints_have_their_turns_in_every_round)
{
    struct crowd *crowd = crowd_open("balance: round_robin", MAX, uneven);
    unsigned round = (unsigned)crowd->upstream->members->weights;
    unsigned count[MAX];

    for (unsigned n = 0; n < 50; n++) {
        count_picks(crowd, round, false, count);
        for (size_t i = 0; i < MAX; i++) {
            ck_assert_msg(count[i] + 1 >= uneven(i) && count[i] <= uneven(i) + 1,
                          "round %u: endpoint %zu has %u", n, i, count[i]);
        }
    }
    count_picks(crowd, 100 * round, false, count);
    for (size_t i = 0; i < MAX; i++) {
        ck_assert_uint_ge(count[i], 100 * uneven(i) - 1);
        ck_assert_uint_le(count[i], 100 * uneven(i) + 1);
    }
    crowd_close(&crowd);
}
END_TEST

/* A turn comes at even distances: nobody is served twice when others of its weight wait. */
START_TEST(many_endpoints_are_served_smoothly)
{
    struct crowd *crowd = crowd_open("balance: round_robin", MAX, uneven);
    unsigned round = (unsigned)crowd->upstream->members->weights;
    unsigned last[MAX] = {0};

    for (unsigned n = 1; n < 100 * round; n++) {
        size_t at = crowd_index(crowd, crowd_pick(crowd, NULL));
        unsigned even = round / uneven(at);

        if (last[at] > 0) {
            ck_assert_msg(n - last[at] <= even * 3 / 2 && n - last[at] >= even / 2,
                          "endpoint %zu: %u picks apart, should be about %u", at, n - last[at],
                          even);
        }
        last[at] = n;
    }
    crowd_close(&crowd);
}
END_TEST

START_TEST(of_many_the_only_one_with_room_is_found)
{
    struct crowd *crowd = crowd_open("balance: round_robin, connections: { max: 1 }", 1000, uneven);

    for (size_t i = 0; i < 1000; i++) {
        if (i != 777)
            crowd_fill(crowd->upstream->endpoint[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_ptr_eq(crowd_pick(crowd, NULL), crowd->upstream->endpoint[777]);
    }
    crowd_fill(crowd->upstream->endpoint[777]);
    ck_assert_ptr_null(crowd_pick(crowd, NULL));
    crowd_close(&crowd);
}
END_TEST

/* -- random ---------------------------------------------------------------- */

START_TEST(random_picks_follow_the_weights)
{
    struct crowd *crowd = crowd_open("balance: random", 10, by_index);
    unsigned count[MAX];

    count_picks(crowd, PICKS, false, count);
    ck_assert_double_lt(chi_square(crowd, count), CHI_SQUARE_9);
    crowd_close(&crowd);
}
END_TEST

START_TEST(random_picks_without_weights_are_even)
{
    struct crowd *crowd = crowd_open("balance: random", 10, NULL);
    unsigned count[MAX];

    count_picks(crowd, PICKS, false, count);
    ck_assert_double_lt(chi_square(crowd, count), CHI_SQUARE_9);
    crowd_close(&crowd);
}
END_TEST

START_TEST(the_share_of_the_full_goes_to_all_others_alike)
{
    struct crowd *crowd = crowd_open("balance: random, connections: { max: 1 }", 10, NULL);
    unsigned count[MAX];
    double sum = 0;

    for (size_t i = 0; i < 8; i++) {
        crowd_fill(crowd->upstream->endpoint[i]);
    }
    count_picks(crowd, PICKS, false, count);
    for (size_t i = 8; i < 10; i++) {
        sum += (count[i] - PICKS / 2.0) * (count[i] - PICKS / 2.0) / (PICKS / 2.0);
    }
    ck_assert_double_lt(sum, 10.83); /* 1 degree of freedom */
    crowd_close(&crowd);
}
END_TEST

/* -- peak EWMA -------------------------------------------------------------- */

START_TEST(a_slow_endpoint_is_avoided)
{
    struct crowd *crowd = crowd_open("balance: peak_ewma", 4, NULL);
    unsigned count[MAX];

    for (size_t i = 0; i < 4; i++) {
        endpoint_note_latency(crowd->upstream->endpoint[i], i == 2 ? 50000 : 1000);
    }
    count_picks(crowd, 10000, false, count);
    ck_assert_uint_eq(count[2], 0);
    ck_assert_uint_gt(count[0], 2000);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_peak_counts_at_once_and_is_forgotten_slowly)
{
    struct crowd *crowd = crowd_open("balance: peak_ewma", 1, NULL);
    struct endpoint *endpoint = crowd->upstream->endpoint[0];

    endpoint_note_latency(endpoint, 1000);
    endpoint_note_latency(endpoint, 90000);
    ck_assert_double_eq(endpoint->latency_us, 90000);
    endpoint->latency_at_us -= 10 * 1000 * 1000; /* one time constant ago */
    endpoint_note_latency(endpoint, 1000);
    ck_assert_double_lt(endpoint->latency_us, 0.37 * 90000 + 0.64 * 1000);
    ck_assert_double_gt(endpoint->latency_us, 0.30 * 90000);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_slow_endpoint_is_tried_again_by_one_request)
{
    struct crowd *crowd = crowd_open("balance: peak_ewma", 2, NULL);
    struct endpoint *slow = crowd->upstream->endpoint[0];

    endpoint_note_latency(slow, 100000);
    endpoint_note_latency(crowd->upstream->endpoint[1], 1000);
    ck_assert_ptr_ne(crowd_pick(crowd, NULL), slow);
    slow->latency_at_us -= 90 * 1000 * 1000; /* nine time constants */
    ck_assert_ptr_eq(crowd_pick(crowd, NULL), slow);
    crowd_busy(slow, 1);
    ck_assert_ptr_ne(crowd_pick(crowd, NULL), slow);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_new_endpoint_is_tried_soon_but_not_by_all)
{
    struct crowd *crowd = crowd_open("balance: peak_ewma", 2, NULL);
    struct endpoint *fresh;

    endpoint_note_latency(crowd->upstream->endpoint[0], 1000);
    endpoint_note_latency(crowd->upstream->endpoint[1], 1000);
    crowd_set(crowd, "balance: peak_ewma", 1, 3, NULL);
    fresh = crowd->upstream->endpoint[1];
    crowd_busy(crowd->upstream->endpoint[0], 1);
    for (unsigned requests = 0; requests < 3; requests++) {
        ck_assert_ptr_eq(crowd_pick(crowd, NULL), fresh);
        crowd_busy(fresh, 1);
    }
    crowd_busy(fresh, 1);
    ck_assert_ptr_ne(crowd_pick(crowd, NULL), fresh);
    crowd_close(&crowd);
}
END_TEST

/* -- hashing ------------------------------------------------------------------ */

static const char *const hashing[] = {"balance: ring_hash, hash: source",
                                      "balance: maglev, hash: source"};

START_TEST(a_key_stays_with_its_endpoint)
{
    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *one = crowd_open(hashing[rule], 10, by_index);
        struct crowd *other = crowd_open(hashing[rule], 10, by_index);

        other->rng.state[0] = 99;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t key = key_of(i);
            size_t at = crowd_index(one, crowd_pick(one, &key));

            ck_assert_uint_eq(crowd_index(one, crowd_pick(one, &key)), at);
            ck_assert_uint_eq(crowd_index(other, crowd_pick(other, &key)), at);
        }
        crowd_close(&one);
        crowd_close(&other);
    }
}
END_TEST

START_TEST(keys_spread_by_weight)
{
    static const double off[] = {0.35, 0.05}; /* of the share: few points make a rough ring */

    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *crowd = crowd_open(hashing[rule], 10, by_index);
        unsigned count[MAX];

        count_picks(crowd, PICKS, true, count);
        for (size_t i = 0; i < 10; i++) {
            double want = PICKS * (double)by_index(i) / 55;

            ck_assert_msg(count[i] > want * (1 - off[rule]) && count[i] < want * (1 + off[rule]),
                          "%s: endpoint %zu has %u, should have %.0f", hashing[rule], i, count[i],
                          want);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(maglev_slots_are_even)
{
    struct crowd *crowd = crowd_open("balance: maglev, hash: source", 10, NULL);
    const struct slots *slots = &crowd->upstream->members->slots;
    unsigned count[MAX] = {0};

    for (size_t i = 0; i < slots->n; i++) {
        count[slots->member[i]]++;
    }
    for (size_t i = 0; i < 10; i++) {
        ck_assert_uint_ge(count[i], slots->n / 10);
        ck_assert_uint_le(count[i], slots->n / 10 + 1);
    }
    count_picks(crowd, PICKS, true, count);
    ck_assert_double_lt(chi_square(crowd, count), CHI_SQUARE_9);
    crowd_close(&crowd);
}
END_TEST

START_TEST(without_a_key_the_choice_is_random_by_weight)
{
    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *crowd = crowd_open(hashing[rule], 10, by_index);
        unsigned count[MAX];

        count_picks(crowd, PICKS, false, count);
        ck_assert_double_lt(chi_square(crowd, count), CHI_SQUARE_9);
        crowd_close(&crowd);
    }
}
END_TEST

/*
 * The part of the keys that move when the endpoints from..to follow on 0..20, other than to those
 * that came or from those that went. *moved counts all.
 */
static double stray_part(const char *rule, size_t from, size_t to, double *moved)
{
    struct crowd *crowd = crowd_open(rule, 20, NULL);
    static size_t before[KEYS];
    unsigned all = 0;
    unsigned stray = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t key = key_of(i);

        before[i] = crowd_index(crowd, crowd_pick(crowd, &key));
    }
    crowd_set(crowd, rule, from, to, NULL);
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t key = key_of(i);
        size_t after = crowd_index(crowd, crowd_pick(crowd, &key)) + from;
        bool has_to = before[i] < from || before[i] >= to || after >= 20;

        all += after != before[i];
        stray += after != before[i] && !has_to;
    }
    crowd_close(&crowd);
    *moved = (double)all / KEYS;
    return (double)stray / KEYS;
}

START_TEST(on_a_ring_only_keys_that_must_move_do)
{
    double moved;

    ck_assert_double_eq(stray_part(hashing[0], 0, 21, &moved), 0);
    ck_assert_double_gt(moved, 0.03); /* 1/21 is 0.048 */
    ck_assert_double_lt(moved, 0.065);
    ck_assert_double_eq(stray_part(hashing[0], 1, 20, &moved), 0);
    ck_assert_double_gt(moved, 0.035); /* 1/20 */
    ck_assert_double_lt(moved, 0.065);
}
END_TEST

START_TEST(with_maglev_few_other_keys_move)
{
    double moved;

    ck_assert_double_lt(stray_part(hashing[1], 0, 21, &moved), 0.02);
    ck_assert_double_gt(moved, 0.04);
    ck_assert_double_lt(moved, 0.07);
    ck_assert_double_lt(stray_part(hashing[1], 1, 20, &moved), 0.02);
    ck_assert_double_gt(moved, 0.04);
    ck_assert_double_lt(moved, 0.07);
}
END_TEST

START_TEST(the_order_of_the_members_does_not_matter)
{
    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *crowd = crowd_open(hashing[rule], 20, NULL);
        struct members *members = crowd->upstream->members;
        struct slots old = members->slots;
        struct member swapped = members->member[3];

        members->member[3] = members->member[11];
        members->member[11] = swapped;
        balance_prepare(rule == 0 ? 4 : 5, members);
        ck_assert_uint_eq(members->slots.n, old.n);
        for (size_t i = 0; i < old.n; i++) {
            uint32_t now = members->slots.member[i];
            uint32_t want = old.member[i] == 3 ? 11 : old.member[i] == 11 ? 3 : old.member[i];

            ck_assert_uint_eq(now, want);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(the_points_of_a_ring_are_capped)
{
    struct crowd *crowd = crowd_open(hashing[0], 2000, NULL);
    const struct slots *slots = &crowd->upstream->members->slots;

    ck_assert_uint_eq(slots->n, 65536 / 2000 * 2000);
    for (size_t i = 1; i < slots->n; i++) {
        ck_assert_uint_le(slots->at[i - 1], slots->at[i]);
    }
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_light_endpoint_has_a_slot_beside_a_heavy_one)
{
    struct crowd *crowd = crowd_open("balance: maglev, hash: source", 2, NULL);
    struct members *members = crowd->upstream->members;
    unsigned light = 0;

    members->member[0].weight = 65535;
    balance_prepare(5, members);
    for (size_t i = 0; i < members->slots.n; i++) {
        light += members->slots.member[i] == 1;
    }
    ck_assert_uint_eq(light, 2);
    crowd_close(&crowd);
}
END_TEST

/* -- bounded load ----------------------------------------------------------------- */

START_TEST(no_endpoint_is_above_the_bound)
{
    static const char *const rules[] = {"balance: ring_hash, hash: { by: path, bound: 125% }",
                                        "balance: maglev, hash: { by: path, bound: 125% }"};

    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *crowd = crowd_open(rules[rule], 10, by_index);

        /* Half of the requests have the same key. */
        for (unsigned i = 0; i < 5500; i++) {
            uint64_t key = key_of(i % 2 ? i : 0);

            crowd_busy(crowd_pick(crowd, &key), 1);
        }
        for (size_t i = 0; i < 10; i++) {
            const struct endpoint *endpoint = crowd->upstream->endpoint[i];

            ck_assert_uint_le(endpoint->active, 5500 * 125 / 100 * by_index(i) / 55 + 1);
        }
        crowd_close(&crowd);
    }
}
END_TEST

START_TEST(without_a_bound_a_key_stays_however_busy_its_endpoint)
{
    struct crowd *crowd = crowd_open(hashing[0], 10, NULL);
    uint64_t key = key_of(1);
    struct endpoint *endpoint = crowd_pick(crowd, &key);

    crowd_busy(endpoint, 100000);
    ck_assert_ptr_eq(crowd_pick(crowd, &key), endpoint);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_key_comes_home_when_the_load_is_gone)
{
    struct crowd *crowd = crowd_open("balance: maglev, hash: { by: path, bound: 125% }", 10, NULL);
    uint64_t key = key_of(1);
    struct endpoint *home = crowd_pick(crowd, &key);

    crowd_busy(home, 10);
    ck_assert_ptr_ne(crowd_pick(crowd, &key), home);
    crowd_idle(crowd);
    ck_assert_ptr_eq(crowd_pick(crowd, &key), home);
    crowd_close(&crowd);
}
END_TEST

/* -- sticky -------------------------------------------------------------------------- */

START_TEST(an_id_names_its_endpoint_and_an_unknown_one_takes_turns)
{
    struct crowd *crowd = crowd_open("balance: sticky_cookie", 50, NULL);
    unsigned count[MAX];

    for (size_t i = 0; i < 50; i++) {
        uint64_t id = crowd->upstream->endpoint[i]->member.id;

        ck_assert_ptr_eq(crowd_pick(crowd, &id), crowd->upstream->endpoint[i]);
    }
    count_picks(crowd, 500, true, count);
    for (size_t i = 0; i < 50; i++) {
        ck_assert_uint_eq(count[i], 10);
    }
    crowd_close(&crowd);
}
END_TEST

START_TEST(an_id_of_one_that_is_gone_or_full_names_nobody)
{
    struct crowd *crowd = crowd_open("balance: sticky_cookie, connections: { max: 1 }", 3, NULL);
    uint64_t gone = crowd->upstream->endpoint[0]->member.id;
    uint64_t full = crowd->upstream->endpoint[1]->member.id;

    crowd_set(crowd, "balance: sticky_cookie, connections: { max: 1 }", 1, 3, NULL);
    crowd_fill(crowd->upstream->endpoint[0]);
    ck_assert_ptr_eq(crowd_pick(crowd, &gone), crowd->upstream->endpoint[1]);
    ck_assert_ptr_eq(crowd_pick(crowd, &full), crowd->upstream->endpoint[1]);
    crowd_close(&crowd);
}
END_TEST

/* -- slow start ------------------------------------------------------------------------ */

START_TEST(the_first_configuration_starts_at_once)
{
    struct crowd *crowd = crowd_open("slow_start: 1000s", 2, NULL);

    ck_assert(!upstream_is_warming(crowd->upstream));
    ck_assert_uint_eq(endpoint_weight(crowd->upstream->endpoint[1]), ENDPOINT_FULL);
    crowd_close(&crowd);
}
END_TEST

START_TEST(the_weight_of_a_new_endpoint_grows_from_a_tenth)
{
    struct crowd *crowd = crowd_open("slow_start: 1000s", 2, NULL);
    struct endpoint *fresh;

    crowd_set(crowd, "slow_start: 1000s", 0, 3, NULL);
    fresh = crowd->upstream->endpoint[2];
    ck_assert(upstream_is_warming(crowd->upstream));
    ck_assert_uint_eq(endpoint_weight(crowd->upstream->endpoint[1]), ENDPOINT_FULL);
    ck_assert_uint_ge(endpoint_weight(fresh), ENDPOINT_FULL / 10);
    ck_assert_uint_lt(endpoint_weight(fresh), ENDPOINT_FULL * 15 / 100);
    fresh->born_us -= 500 * 1000 * 1000ull;
    ck_assert_uint_gt(endpoint_weight(fresh), ENDPOINT_FULL * 54 / 100);
    ck_assert_uint_lt(endpoint_weight(fresh), ENDPOINT_FULL * 60 / 100);
    fresh->born_us -= 500 * 1000 * 1000ull;
    ck_assert_uint_eq(endpoint_weight(fresh), ENDPOINT_FULL);
    crowd_close(&crowd);
}
END_TEST

START_TEST(a_new_endpoint_gets_its_part_of_the_picks)
{
    static const char *const rules[] = {"balance: round_robin, slow_start: 1000s",
                                        "balance: random, slow_start: 1000s"};

    for (size_t rule = 0; rule < 2; rule++) {
        struct crowd *crowd = crowd_open(rules[rule], 9, NULL);
        unsigned count[MAX];

        crowd_set(crowd, rules[rule], 0, 10, NULL);
        count_picks(crowd, 9100, false, count);
        ck_assert_uint_gt(count[9], 60); /* a tenth of the others' 1000 */
        ck_assert_uint_lt(count[9], 160);
        crowd_close(&crowd);
    }
}
END_TEST

UNIT_MAIN(
    "upstream/balance", nobody_is_picked_from_an_empty_upstream, a_single_endpoint_is_always_picked,
    who_is_full_is_never_picked, who_was_tried_is_not_picked_again,
    idle_endpoints_are_picked_by_weight, busy_endpoints_are_picked_by_weight,
    many_endpoints_have_their_turns_in_every_round, many_endpoints_are_served_smoothly,
    of_many_the_only_one_with_room_is_found, random_picks_follow_the_weights,
    random_picks_without_weights_are_even, the_share_of_the_full_goes_to_all_others_alike,
    a_slow_endpoint_is_avoided, a_peak_counts_at_once_and_is_forgotten_slowly,
    a_slow_endpoint_is_tried_again_by_one_request, a_new_endpoint_is_tried_soon_but_not_by_all,
    a_key_stays_with_its_endpoint, keys_spread_by_weight, maglev_slots_are_even,
    without_a_key_the_choice_is_random_by_weight, on_a_ring_only_keys_that_must_move_do,
    with_maglev_few_other_keys_move, the_order_of_the_members_does_not_matter,
    the_points_of_a_ring_are_capped, a_light_endpoint_has_a_slot_beside_a_heavy_one,
    no_endpoint_is_above_the_bound, without_a_bound_a_key_stays_however_busy_its_endpoint,
    a_key_comes_home_when_the_load_is_gone, an_id_names_its_endpoint_and_an_unknown_one_takes_turns,
    an_id_of_one_that_is_gone_or_full_names_nobody, the_first_configuration_starts_at_once,
    the_weight_of_a_new_endpoint_grows_from_a_tenth, a_new_endpoint_gets_its_part_of_the_picks)
