#include "upstream/roster.h"

#include "core/loop.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { NEWS_MAX = 16 };

struct scene {
    struct loop *loop;
    struct tally *tally;
    struct shares *shares;
    struct sources *sources;
    struct roster *roster;
    struct notes *notes;
    struct arena arena;
    unsigned n_news;
    enum roster_cause cause[NEWS_MAX];
    char upstream[NEWS_MAX][16];
    size_t n_members[NEWS_MAX];
};

static void on_change(void *it_, const struct roster_news *news)
{
    struct scene *it = it_;

    ck_assert_uint_lt(it->n_news, NEWS_MAX);
    it->cause[it->n_news] = news->cause;
    snprintf(it->upstream[it->n_news], sizeof(it->upstream[0]), "%.*s", (int)news->upstream.len,
             news->upstream.ptr);
    it->n_members[it->n_news++] = members_count(news->members);
}

static void scene_open(struct scene *it)
{
    *it = (struct scene){.loop = loop_new(), .tally = tally_new(1), .notes = notes_new()};
    arena_init(&it->arena, NULL, 0);
    it->shares = shares_new(it->tally);
    it->sources = sources_new(it->loop);
    it->roster = roster_new(it->sources, it->shares);
    roster_on_change(it->roster, on_change, it);
}

static void scene_close(struct scene *it)
{
    roster_free(&it->roster);
    ck_assert_ptr_null(it->roster);
    sources_free(&it->sources); /* which holds that no source is left */
    shares_free(&it->shares);
    tally_free(&it->tally);
    notes_free(&it->notes);
    arena_fini(&it->arena);
    loop_free(&it->loop);
}

/* Plan all upstreams of a map; the number that could be. */
static size_t plan(struct scene *it, struct roster_draft *draft, const char *yaml)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct items map = {NULL, 0};
    struct tree *tree = NULL;
    size_t n_planned = 0;

    ck_assert_int_eq(tree_parse(span_of(yaml), "t", &it->arena, it->notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bind, &upstream_map_shape, tree, &map), OK);
    for (size_t i = 0; i < map.n; i++) {
        const struct upstream_conf *conf = (struct upstream_conf *)map.first + i;
        struct members *members = roster_plan(draft, conf, it->notes);

        n_planned += members != NULL;
        members_unref(&members);
    }
    return n_planned;
}

static void apply(struct scene *it, const char *yaml)
{
    struct roster_draft *draft = roster_begin(it->roster);

    plan(it, draft, yaml);
    it->n_news = 0;
    roster_commit(&draft);
    ck_assert_ptr_null(draft);
}

static struct roster_row row_of(const struct scene *it, const char *upstream)
{
    struct roster_row row;

    ck_assert(roster_find(it->roster, span_of(upstream), &row));
    return row;
}

static void publish(const struct scene *it, const char *upstream, const char *address)
{
    struct found *found = found_new();

    found_add(found)->address = arena_copy(&found->arena, span_of(address));
    source_publish((struct source *)(uintptr_t)row_of(it, upstream).source, &found);
}

static bool has(const struct scene *it, const char *upstream, const char *address)
{
    return members_find(row_of(it, upstream).members, span_of(address)) != NULL;
}

#define TWO                                                                                        \
    "a: { endpoints: [ \"10.0.0.1:1\", \"10.0.0.2:1\" ] }\nb: { endpoints: [ \"10.0.0.3:1\" ] }"

START_TEST(a_configuration_is_told_upstream_by_upstream)
{
    struct roster_row row;
    struct scene it;
    size_t at = 0;

    scene_open(&it);
    apply(&it, TWO);
    ck_assert_uint_eq(it.n_news, 2);
    ck_assert_int_eq(it.cause[0], ROSTER_CONFIGURED);
    ck_assert_str_eq(it.upstream[0], "a");
    ck_assert_uint_eq(it.n_members[0], 2);
    ck_assert_str_eq(it.upstream[1], "b");
    ck_assert(roster_each(it.roster, &at, &row));
    ck_assert(span_equal(row.upstream, SPAN("a")));
    ck_assert(roster_each(it.roster, &at, &row));
    ck_assert(!roster_each(it.roster, &at, &row));
    ck_assert(!roster_find(it.roster, SPAN("c"), &row));
    scene_close(&it);
}
END_TEST

START_TEST(what_a_source_finds_is_told_with_the_set_before)
{
    struct scene it;
    const struct members *members;
    uint64_t serial;

    scene_open(&it);
    apply(&it, TWO);
    serial = row_of(&it, "b").members->serial;
    it.n_news = 0;
    publish(&it, "b", "10.0.0.9:1");
    ck_assert_uint_eq(it.n_news, 1);
    ck_assert_int_eq(it.cause[0], ROSTER_FOUND);
    ck_assert_str_eq(it.upstream[0], "b");
    members = row_of(&it, "b").members;
    ck_assert_uint_gt(members->serial, serial);
    ck_assert_uint_eq(members->after, serial);
    ck_assert(has(&it, "b", "10.0.0.9:1") && !has(&it, "b", "10.0.0.3:1"));
    publish(&it, "b", "10.0.0.9:1"); /* the same again: nobody is told */
    ck_assert_uint_eq(it.n_news, 1);
    scene_close(&it);
}
END_TEST

START_TEST(the_same_configuration_again_keeps_what_the_source_found)
{
    struct scene it;
    const struct members *members;

    scene_open(&it);
    apply(&it, TWO);
    publish(&it, "b", "10.0.0.9:1");
    members = row_of(&it, "b").members;
    apply(&it, TWO);
    ck_assert_ptr_eq(row_of(&it, "b").members, members);
    ck_assert(has(&it, "b", "10.0.0.9:1"));
    scene_close(&it);
}
END_TEST

START_TEST(an_upstream_that_is_configured_no_more_is_gone)
{
    struct roster_row row;
    struct scene it;

    scene_open(&it);
    apply(&it, TWO);
    apply(&it, "a: { endpoints: [ \"10.0.0.1:1\" ] }");
    ck_assert_uint_eq(it.n_news, 2);
    ck_assert_int_eq(it.cause[1], ROSTER_GONE);
    ck_assert_str_eq(it.upstream[1], "b");
    ck_assert_uint_eq(it.n_members[1], 1);
    ck_assert(!roster_find(it.roster, SPAN("b"), &row));
    ck_assert_ptr_null(roster_members(it.roster, SPAN("b")));
    scene_close(&it);
}
END_TEST

START_TEST(an_abandoned_draft_changes_nothing)
{
    struct roster_draft *draft;
    struct roster_row row;
    struct scene it;

    scene_open(&it);
    apply(&it, TWO);
    it.n_news = 0;
    draft = roster_begin(it.roster);
    ck_assert_uint_eq(plan(&it, draft, "c: { endpoints: [ \"10.0.0.7:1\" ] }"), 1);
    roster_abandon(&draft);
    ck_assert_ptr_null(draft);
    roster_abandon(&draft);
    ck_assert_uint_eq(it.n_news, 0);
    ck_assert(!roster_find(it.roster, SPAN("c"), &row));
    ck_assert(has(&it, "a", "10.0.0.2:1"));
    apply(&it, TWO); /* and the next one may begin */
    scene_close(&it);
}
END_TEST

START_TEST(a_source_that_can_never_work_is_refused)
{
    struct roster_draft *draft;
    struct scene it;

    scene_open(&it);
    draft = roster_begin(it.roster);
    ck_assert_uint_eq(plan(&it, draft, "a: { file: { path: /nowhere/members.yaml } }"), 0);
    ck_assert_uint_eq(notes_errors(it.notes), 1);
    roster_abandon(&draft);
    scene_close(&it);
}
END_TEST

/* Nobody answers for the name: its source knows nothing yet, and what was there goes on. */
START_TEST(members_stay_until_another_source_knows_something)
{
    struct roster_row row;
    struct scene it;

    scene_open(&it);
    apply(&it, TWO);
    ck_assert(!roster_find_waiting(it.roster, &row));
    apply(&it, "a: { dns: { name: a.invalid, port: 1, servers: [ \"127.0.0.1:9\" ] } }\n"
               "new: { dns: { name: a.invalid, port: 2, servers: [ \"127.0.0.1:9\" ] } }");
    ck_assert(has(&it, "a", "10.0.0.1:1") && has(&it, "a", "10.0.0.2:1"));
    ck_assert_uint_eq(members_count(row_of(&it, "new").members), 0);
    ck_assert(roster_find_waiting(it.roster, &row));
    ck_assert(span_equal(row.upstream, SPAN("a")));
    publish(&it, "a", "10.0.0.8:1");
    ck_assert(has(&it, "a", "10.0.0.8:1") && !has(&it, "a", "10.0.0.1:1"));
    scene_close(&it);
}
END_TEST

START_TEST(another_rule_of_balancing_makes_another_set)
{
    struct scene it;
    const struct members *members;

    scene_open(&it);
    apply(&it, TWO);
    members = row_of(&it, "b").members;
    apply(&it, "b: { balance: maglev, hash: source, endpoints: [ \"10.0.0.3:1\" ] }");
    ck_assert_ptr_ne(row_of(&it, "b").members, members);
    ck_assert_ptr_nonnull(row_of(&it, "b").members->slots.rule);
    scene_close(&it);
}
END_TEST

START_TEST(an_address_that_stands_twice_is_warned_of)
{
    struct text said;
    struct scene it;

    scene_open(&it);
    apply(&it, "a: { endpoints: [ \"10.0.0.1:1\", \"10.0.0.1:1\" ] }");
    text_init(&said, 4096);
    notes_print(it.notes, &said);
    ck_assert_uint_eq(notes_errors(it.notes), 0);
    ck_assert_ptr_nonnull(strstr(said.ptr, "'10.0.0.1:1' of upstream 'a' is there already"));
    ck_assert_uint_eq(members_count(row_of(&it, "a").members), 1);
    text_fini(&said);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("upstream/roster", a_configuration_is_told_upstream_by_upstream,
          what_a_source_finds_is_told_with_the_set_before,
          the_same_configuration_again_keeps_what_the_source_found,
          an_upstream_that_is_configured_no_more_is_gone, an_abandoned_draft_changes_nothing,
          a_source_that_can_never_work_is_refused,
          members_stay_until_another_source_knows_something,
          another_rule_of_balancing_makes_another_set, an_address_that_stands_twice_is_warned_of)
