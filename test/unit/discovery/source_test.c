#include "discovery/source.h"

#include "core/loop.h"
#include "unit.h"

struct scene {
    struct loop *loop;
    struct sources *sources;
    struct arena arena;
    struct notes *notes;
    struct source_reader reader;
    unsigned told;
};

static void on_found(struct source_reader *reader)
{
    list_entry(reader, struct scene, reader)->told++;
}

static void scene_open(struct scene *it)
{
    it->loop = loop_new();
    it->sources = sources_new(it->loop);
    it->notes = notes_new();
    arena_init(&it->arena, NULL, 0);
    it->told = 0;
    source_reader_init(&it->reader, on_found);
}

static void scene_close(struct scene *it)
{
    sources_free(&it->sources);
    ck_assert_ptr_null(it->sources);
    notes_free(&it->notes);
    arena_fini(&it->arena);
    loop_free(&it->loop);
}

static struct source_conf conf_of(struct scene *it, const char *yaml)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct source_conf conf = {.endpoints.n = 0};
    struct tree *tree = NULL;

    ck_assert_int_eq(tree_parse(span_of(yaml), "t", &it->arena, it->notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bind, &endpoint_list_shape, tree, &conf.endpoints), OK);
    return conf;
}

static struct found *set_of(const char *address)
{
    struct found *found = found_new();

    found_add(found)->address = arena_copy(&found->arena, span_of(address));
    return found;
}

START_TEST(a_list_is_known_at_once_with_all_its_facts)
{
    struct scene it;
    struct source_conf conf;
    struct source *source;
    const struct found_endpoint *endpoint;

    scene_open(&it);
    conf = conf_of(&it, "[ \"127.0.0.1:1\", { address: \"[::1]:2\", weight: 0, state: draining, "
                        "priority: 2, zone: z1, id: two, tags: [ a, b ], meta: { v: \"2\" } } ]");
    source = sources_get(it.sources, &conf, it.notes);
    ck_assert_ptr_nonnull(source);
    ck_assert_uint_eq(source_found(source)->n, 2);
    endpoint = &source_found(source)->endpoint[1];
    ck_assert(span_equal(endpoint->address, SPAN("[::1]:2")));
    ck_assert_uint_eq(endpoint->weight, 0);
    ck_assert_int_eq(endpoint->state, FOUND_DRAINING);
    ck_assert_uint_eq(endpoint->priority, 2);
    ck_assert(span_equal(endpoint->zone, SPAN("z1")));
    ck_assert(span_equal(endpoint->id, SPAN("two")));
    ck_assert_uint_eq(endpoint->n_tags, 2);
    ck_assert(span_equal(endpoint->tags[1], SPAN("b")));
    ck_assert(span_equal(endpoint->meta[0].name, SPAN("v")));
    ck_assert(span_equal(endpoint->meta[0].value, SPAN("2")));
    ck_assert_int_eq(source_status(source)->state, SOURCE_FRESH);
    source_unref(&source);
    scene_close(&it);
}
END_TEST

START_TEST(who_asks_for_the_same_gets_the_same)
{
    struct scene it;
    struct source_conf one, same, other;
    struct source *a, *b, *c;

    scene_open(&it);
    one = conf_of(&it, "[ \"127.0.0.1:1\" ]");
    same = conf_of(&it, "[ { address: \"127.0.0.1:1\", weight: 1 } ]");
    other = conf_of(&it, "[ { address: \"127.0.0.1:1\", weight: 2 } ]");
    a = sources_get(it.sources, &one, it.notes);
    b = sources_get(it.sources, &same, it.notes);
    c = sources_get(it.sources, &other, it.notes);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_ne(a, c);
    source_unref(&a);
    ck_assert_uint_eq(source_found(b)->n, 1);
    source_unref(&b);
    source_unref(&c);
    scene_close(&it);
}
END_TEST

START_TEST(only_what_is_new_is_told)
{
    struct scene it;
    struct source_conf conf;
    struct source *source;
    struct found *set;

    scene_open(&it);
    conf = conf_of(&it, "[ \"127.0.0.1:1\" ]");
    source = sources_get(it.sources, &conf, it.notes);
    source_read(&it.reader, &source);
    ck_assert_ptr_null(source);
    source = it.reader.source;
    set = set_of("127.0.0.1:1");
    source_publish(source, &set);
    ck_assert_ptr_null(set);
    ck_assert_uint_eq(it.told, 0);
    ck_assert_uint_eq(source_status(source)->updates, 1);
    set = set_of("127.0.0.1:2");
    source_publish(source, &set);
    ck_assert_uint_eq(it.told, 1);
    ck_assert_uint_eq(source_status(source)->updates, 2);
    ck_assert(span_equal(source_found(source)->endpoint[0].address, SPAN("127.0.0.1:2")));
    source_leave(&it.reader);
    scene_close(&it);
}
END_TEST

START_TEST(trouble_takes_nothing_back)
{
    struct scene it;
    struct source_conf conf;
    struct source *source;

    scene_open(&it);
    conf = conf_of(&it, "[ \"127.0.0.1:1\" ]");
    source = sources_get(it.sources, &conf, it.notes);
    source_fail(source, "gone %d", 1);
    ck_assert_int_eq(source_status(source)->state, SOURCE_STALE);
    ck_assert_str_eq(source_status(source)->why, "gone 1");
    ck_assert_uint_eq(source_status(source)->errors, 1);
    ck_assert_uint_eq(source_found(source)->n, 1);
    source_hold(source, "empty");
    ck_assert_int_eq(source_status(source)->state, SOURCE_HELD);
    ck_assert_uint_eq(source_found(source)->n, 1);
    source->own.as_of_wall_us = 1;
    source_confirm(source);
    ck_assert_int_eq(source_status(source)->state, SOURCE_FRESH);
    ck_assert_str_eq(source_status(source)->why, "");
    ck_assert_uint_gt(source_status(source)->as_of_wall_us, 1);
    source_unref(&source);
    scene_close(&it);
}
END_TEST

START_TEST(what_was_kept_on_disk_is_stale)
{
    struct scene it;
    struct source_conf conf;
    struct source *source;
    struct found *set = set_of("127.0.0.1:9");

    scene_open(&it);
    conf = conf_of(&it, "[ \"127.0.0.1:1\" ]");
    source = sources_get(it.sources, &conf, it.notes);
    set->as_of_wall_us = 12345;
    source_publish_kept(source, &set);
    ck_assert_int_eq(source_status(source)->state, SOURCE_STALE);
    ck_assert_uint_eq(source_status(source)->as_of_wall_us, 12345);
    source_unref(&source);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("discovery/source", a_list_is_known_at_once_with_all_its_facts,
          who_asks_for_the_same_gets_the_same, only_what_is_new_is_told, trouble_takes_nothing_back,
          what_was_kept_on_disk_is_stale)
