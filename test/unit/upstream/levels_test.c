#include "upstream/levels.h"

#include "unit.h"

enum { LEVELS = 3 };

/* Endpoints, who of them is well, and what is to come of it, in percent; -1: a level less. */
struct row {
    int n[LEVELS], n_well[LEVELS], share[LEVELS];
    bool panic[LEVELS];
};

static const struct row rows[] = {
    {{100, 100, -1}, {100, 100, 0}, {100, 0, 0}, {false}},
    {{100, 100, -1}, {72, 72, 0}, {100, 0, 0}, {false}},
    {{100, 100, -1}, {71, 71, 0}, {99, 0, 0}, {false}},
    {{100, 100, -1}, {50, 60, 0}, {70, 30, 0}, {false}},
    {{100, 100, -1}, {25, 100, 0}, {35, 65, 0}, {false}},
    {{100, 100, -1}, {0, 100, 0}, {0, 100, 0}, {false}},
    {{100, 100, -1}, {25, 25, 0}, {50, 50, 0}, {true, true}},
    {{100, 100, -1}, {5, 65, 0}, {7, 93, 0}, {true, false}},
    {{100, 100, 100}, {100, 100, 100}, {100, 0, 0}, {false}},
    {{100, 100, 100}, {25, 25, 25}, {35, 35, 30}, {false}},
    {{100, 100, 100}, {50, 20, 10}, {70, 28, 2}, {false}},
    {{100, 100, 100}, {25, 25, 20}, {33, 33, 33}, {true, true, true}},
    {{100, 100, 100}, {40, 10, 10}, {33, 33, 33}, {true, true, true}},
    {{100, 100, 100}, {0, 0, 100}, {0, 0, 100}, {false}},
    {{300, 100, -1}, {0, 0, 0}, {75, 25, 0}, {true, true}},
    {{1, -1, -1}, {1, 0, 0}, {100, 0, 0}, {false}},
    {{2, -1, -1}, {1, 0, 0}, {100, 0, 0}, {false}},
    {{3, -1, -1}, {1, 0, 0}, {100, 0, 0}, {true}},
};

static size_t fill(const struct row *row, struct level level[LEVELS])
{
    size_t n = 0;

    while (n < LEVELS && row->n[n] >= 0) {
        level[n] = (struct level){.n = (uint64_t)row->n[n], .n_well = (uint64_t)row->n_well[n]};
        n++;
    }
    return n;
}

START_TEST(shares_follow_the_table)
{
    const struct levels_rule rule = {50, 140};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct level level[LEVELS];
        size_t n = fill(&rows[i], level);
        unsigned sum = 0;

        levels_share(&rule, level, n);
        for (size_t at = 0; at < n; at++) {
            int percent = (int)level[at].share / (LEVELS_WHOLE / 100);

            ck_assert_msg(percent >= rows[i].share[at] - 1 && percent <= rows[i].share[at] + 1,
                          "row %zu, level %zu: %d%%", i, at, percent);
            ck_assert_msg(level[at].panic == rows[i].panic[at], "row %zu, level %zu", i, at);
            sum += level[at].share;
        }
        ck_assert_uint_eq(sum, LEVELS_WHOLE);
    }
}
END_TEST

START_TEST(without_a_threshold_there_is_no_panic)
{
    const struct levels_rule rule = {0, 140};
    struct level level[] = {{.n = 10, .n_well = 0}, {.n = 10, .n_well = 1}};

    levels_share(&rule, level, 2);
    ck_assert_uint_eq(level[1].share, LEVELS_WHOLE);
    level[1].n_well = 0;
    levels_share(&rule, level, 2);
    ck_assert_uint_eq(level[0].share + level[1].share, 0);
    ck_assert(!level[0].panic && !level[1].panic);
}
END_TEST

START_TEST(one_of_very_many_still_gets_requests)
{
    const struct levels_rule rule = {0, 100};
    struct level level[] = {{.n = 100000, .n_well = 1}};

    levels_share(&rule, level, 1);
    ck_assert_uint_eq(level[0].share, LEVELS_WHOLE);
}
END_TEST

START_TEST(overprovisioning_says_how_early_the_next_level_helps)
{
    const struct levels_rule rule = {50, 100};
    struct level level[] = {{.n = 10, .n_well = 9}, {.n = 10, .n_well = 10}};

    levels_share(&rule, level, 2);
    ck_assert_uint_eq(level[0].share, LEVELS_WHOLE * 9 / 10);
    ck_assert_uint_eq(level[1].share, LEVELS_WHOLE / 10);
}
END_TEST

START_TEST(levels_lie_in_the_order_of_their_priorities)
{
    struct level level[LEVELS_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < 3 * LEVELS_MAX; i++) {
        levels_find(level, &n, i * 37 % 100)->n++;
    }
    ck_assert_uint_eq(n, 100);
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(level[i].priority, i);
        ck_assert_uint_ge(level[i].n, 3);
    }
}
END_TEST

START_TEST(what_is_beyond_the_levels_belongs_to_the_last)
{
    struct level level[LEVELS_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < LEVELS_MAX; i++) {
        levels_find(level, &n, i);
    }
    ck_assert_ptr_eq(levels_find(level, &n, 100000), &level[LEVELS_MAX - 1]);
    ck_assert_uint_eq(n, LEVELS_MAX);
}
END_TEST

START_TEST(a_zone_keeps_what_its_capacity_allows)
{
    static const struct {
        struct zone_weights weights;
        unsigned percent;
    } zones[] = {
        {{10, 30, 3}, 100}, {{20, 30, 3}, 100}, {{5, 30, 3}, 50},
        {{0, 30, 3}, 0},    {{10, 20, 2}, 100}, {{5, 15, 2}, 66},
    };

    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        ck_assert_uint_eq(levels_near_part(&zones[i].weights) / (LEVELS_WHOLE / 100),
                          zones[i].percent);
    }
}
END_TEST

UNIT_MAIN("upstream/levels", shares_follow_the_table, without_a_threshold_there_is_no_panic,
          one_of_very_many_still_gets_requests,
          overprovisioning_says_how_early_the_next_level_helps,
          levels_lie_in_the_order_of_their_priorities,
          what_is_beyond_the_levels_belongs_to_the_last, a_zone_keeps_what_its_capacity_allows)
