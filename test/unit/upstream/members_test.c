#include "upstream/members.h"

#include "sets.h"
#include "unit.h"

#include <string.h>

struct scene {
    struct tally *tally;
    struct shares *shares;
    struct notes *notes;
    struct arena arena;
};

static void scene_open(struct scene *it)
{
    it->tally = tally_new(1);
    it->shares = shares_new(it->tally);
    it->notes = notes_new();
    arena_init(&it->arena, NULL, 0);
}

static void scene_close(struct scene *it)
{
    arena_fini(&it->arena);
    notes_free(&it->notes);
    shares_free(&it->shares);
    ck_assert_ptr_null(it->shares);
    tally_free(&it->tally);
}

/* The first upstream of a map; NULL when it is refused. */
static const struct upstream_conf *conf_of(struct scene *it, const char *yaml)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct items *map = arena_new(&it->arena, sizeof(*map));
    struct tree *tree = NULL;

    ck_assert_int_eq(tree_parse(span_of(yaml), "test.yaml", &it->arena, it->notes, &tree), OK);
    return shape_bind(&bind, &upstream_map_shape, tree, map) ? NULL : map->first;
}

static struct members *members(struct scene *it, const char *yaml)
{
    const struct upstream_conf *conf = conf_of(it, yaml);

    ck_assert_ptr_nonnull(conf);
    return sets_make(conf, it->shares, NULL);
}

START_TEST(endpoints_become_members_in_order)
{
    struct scene it;
    struct members *set;

    scene_open(&it);
    set = members(&it, "app: { endpoints: [ \"127.0.0.1:1\", { address: \"[::1]:2\", weight: 7 }, "
                       "\"unix:/x\" ] }");
    ck_assert_ptr_nonnull(set);
    ck_assert_uint_eq(set->n, 3);
    ck_assert_str_eq(set->member[0].text.ptr, "127.0.0.1:1");
    ck_assert_uint_eq(set->member[0].weight, 1);
    ck_assert_str_eq(set->member[1].text.ptr, "[::1]:2");
    ck_assert_uint_eq(set->member[1].weight, 7);
    ck_assert_str_eq(set->member[2].addr.path, "/x");
    members_unref(&set);
    ck_assert_ptr_null(set);
    scene_close(&it);
}
END_TEST

START_TEST(an_address_given_twice_counts_once)
{
    struct scene it;
    struct members *set;

    scene_open(&it);
    set = members(&it, "app: { endpoints: [ \"[::1]:1\", \"127.0.0.1:1\", \"[0:0::1]:1\" ] }");
    ck_assert_uint_eq(set->n, 2);
    ck_assert_uint_eq(set->n_repeats, 1);
    members_unref(&set);
    scene_close(&it);
}
END_TEST

START_TEST(every_endpoint_that_cannot_be_is_an_error)
{
    struct scene it;

    scene_open(&it);
    (void)conf_of(&it, "app: { endpoints: [ \"127.0.0.1\", \"127.0.0.1:1\", \":80\" ] }");
    ck_assert_uint_eq(notes_errors(it.notes), 2);
    scene_close(&it);
}
END_TEST

/* First who gets requests, then who fails, then who drains. */
START_TEST(who_drains_or_fails_is_not_in_rotation)
{
    struct scene it;
    struct members *set;

    scene_open(&it);
    set = members(&it, "app: { endpoints: [ { address: \"127.0.0.1:1\", weight: 0 }, "
                       "{ address: \"127.0.0.1:2\", state: failing }, "
                       "{ address: \"127.0.0.1:3\", state: draining }, "
                       "{ address: \"127.0.0.1:4\", state: warning, weight: 3, zone: z }, "
                       "\"127.0.0.1:5\" ] }");
    ck_assert_uint_eq(set->n, 2);
    ck_assert_uint_eq(set->n_failing, 1);
    ck_assert_uint_eq(set->n_draining, 2);
    ck_assert_uint_eq(set->weights, 4);
    ck_assert_str_eq(set->member[0].text.ptr, "127.0.0.1:4");
    ck_assert_int_eq(set->member[0].facts->state, FOUND_WARNING);
    ck_assert(span_equal(set->member[0].facts->zone, SPAN("z")));
    ck_assert_str_eq(set->member[1].text.ptr, "127.0.0.1:5");
    ck_assert_str_eq(set->member[2].text.ptr, "127.0.0.1:2");
    ck_assert_str_eq(set->member[3].text.ptr, "127.0.0.1:1");
    ck_assert_str_eq(set->member[4].text.ptr, "127.0.0.1:3");
    members_unref(&set);
    scene_close(&it);
}
END_TEST

START_TEST(a_set_knows_where_its_members_were_before)
{
    struct scene it;
    struct members *first, *second;
    const struct upstream_conf *conf;

    scene_open(&it);
    first = members(&it, "app: { endpoints: [ \"127.0.0.1:1\", \"127.0.0.1:2\" ] }");
    conf = conf_of(&it, "app: { endpoints: [ \"127.0.0.1:3\", \"127.0.0.1:2\" ] }");
    second = sets_make(conf, it.shares, first);
    ck_assert_uint_eq(second->after, first->serial);
    ck_assert_uint_eq(second->member[0].was, MEMBER_NONE);
    ck_assert_uint_eq(second->member[1].was, 1);
    ck_assert_ptr_eq(second->member[1].share, first->member[1].share);
    ck_assert_ptr_eq(members_find(second, SPAN("127.0.0.1:3")), &second->member[0]);
    ck_assert_ptr_null(members_find(second, SPAN("127.0.0.1:1")));
    members_unref(&first);
    members_unref(&second);
    scene_close(&it);
}
END_TEST

START_TEST(what_is_shared_of_an_address_lasts_over_sets)
{
    struct scene it;
    struct members *first, *second, *other;

    scene_open(&it);
    first = members(&it, "app: { endpoints: [ \"127.0.0.1:1\" ] }");
    second = members(&it, "app: { endpoints: [ \"127.0.0.1:2\", \"127.0.0.1:1\" ] }");
    other = members(&it, "web: { endpoints: [ \"127.0.0.1:1\" ] }");
    ck_assert_ptr_eq(first->member[0].share, second->member[1].share);
    ck_assert_ptr_eq(first->member[0].tally, second->member[1].tally);
    ck_assert_ptr_ne(first->member[0].share, second->member[0].share);
    ck_assert_ptr_ne(first->member[0].share, other->member[0].share);
    members_unref(&first);
    members_unref(&second);
    members_unref(&other);
    scene_close(&it);
}
END_TEST

START_TEST(presets_are_those_of_the_reference)
{
    struct scene it;
    const struct upstream_conf *conf;

    scene_open(&it);
    conf = conf_of(&it, "app: { endpoints: \"127.0.0.1:1\" }");
    ck_assert_ptr_nonnull(conf);
    ck_assert_str_eq(conf->named.name.ptr, "app");
    ck_assert_str_eq(conf->host.ptr, "preserve");
    ck_assert_int_eq(conf->balance, 0);
    ck_assert_uint_eq(conf->connections.max, 0);
    ck_assert_uint_eq(conf->connections.idle, 128);
    ck_assert_uint_eq(conf->connections.idle_timeout_ms, 60000);
    ck_assert_uint_eq(conf->connections.requests, 0);
    ck_assert_uint_eq(conf->connections.queue, 1024);
    ck_assert_uint_eq(conf->connections.queue_timeout_ms, 5000);
    ck_assert_uint_eq(conf->timeout.connect_ms, 2000);
    ck_assert_uint_eq(conf->timeout.response_ms, 60000);
    ck_assert_uint_eq(conf->timeout.idle_ms, 60000);
    ck_assert_uint_eq(conf->timeout.total_ms, 0);
    scene_close(&it);
}
END_TEST

START_TEST(values_out_of_bounds_are_refused)
{
    static const char *const rows[] = {
        "app: { balance: round_robin }",
        "app: { endpoints: [] }",
        "app: { endpoints: [ { address: \"127.0.0.1:1\", weight: 65536 } ] }",
        "app: { endpoints: [ \"127.0.0.1:1\" ], balance: best }",
        "app: { endpoints: [ \"127.0.0.1:1\" ], timeout: { connect: 0s } }",
        "app: { endpoints: [ \"127.0.0.1:1\" ], timeout: { response: 5 } }",
        "app: { endpoints: [ \"127.0.0.1:1\" ], connection: { max: 1 } }",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene it;

        scene_open(&it);
        ck_assert_msg(conf_of(&it, rows[i]) == NULL, "%s", rows[i]);
        ck_assert_uint_ge(notes_errors(it.notes), 1);
        scene_close(&it);
    }
}
END_TEST

UNIT_MAIN("upstream/members", endpoints_become_members_in_order, an_address_given_twice_counts_once,
          who_drains_or_fails_is_not_in_rotation, a_set_knows_where_its_members_were_before,
          every_endpoint_that_cannot_be_is_an_error, what_is_shared_of_an_address_lasts_over_sets,
          presets_are_those_of_the_reference, values_out_of_bounds_are_refused)
