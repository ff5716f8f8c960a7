#include "proxy/affinity.h"

#include "proxy/exchange.h"
#include "proxy/snapshot.h"
#include "proxy/worker.h"
#include "upstream/balance.h"

#include "unit.h"

enum { LINES = 8, SPARE = 2 };

/* A request on its way to an upstream, made by hand; nothing of it runs. */
struct scene {
    struct upstream_conf conf;
    struct snapshot_upstream upstream;
    struct snapshot snapshot;
    struct view view;
    struct route_target target;
    struct endpoint endpoint;
    struct attempt attempt;
    struct exchange ex;
    struct field_line line[LINES], answer[SPARE];
    struct fields told;
};

static int index_of(const char *name)
{
    const struct choice *choice = balance_choices;

    while (!span_equal(span_of(choice->name), span_of(name))) {
        choice++;
    }
    return choice->value;
}

static void scene_open(struct scene *it, const char *rule)
{
    *it = (struct scene){.conf = {.balance = index_of(rule)}};
    it->conf.sticky.cookie = SPAN("at");
    it->conf.sticky.path = SPAN("/");
    it->upstream.conf = &it->conf;
    it->snapshot.upstreams = &it->upstream;
    it->view.snapshot = &it->snapshot;
    it->attempt.lease.endpoint = &it->endpoint;
    it->ex.view = &it->view;
    it->ex.target = &it->target;
    it->ex.attempt = &it->attempt;
    it->ex.request.path = SPAN("/a");
    it->ex.request.fields = (struct fields){.line = it->line, .cap = LINES};
    arena_init(&it->ex.arena, NULL, 0);
    it->told = (struct fields){.line = it->answer, .cap = SPARE, .arena = &it->ex.arena};
}

static void scene_close(struct scene *it)
{
    arena_fini(&it->ex.arena);
}

static void say(struct scene *it, struct sluice_span name, struct sluice_span value)
{
    ck_assert_int_eq(fields_add(&it->ex.request.fields, name, value), OK);
}

/* The lease's key; 0: it has none. */
static uint64_t key(struct scene *it)
{
    it->attempt.lease.has_key = false;
    affinity_find(&it->ex);
    return it->attempt.lease.has_key ? it->attempt.lease.key : 0;
}

START_TEST(other_rules_get_no_key)
{
    struct scene it;

    scene_open(&it, "random");
    it.conf.hash.by = HASH_BY_PATH;
    ck_assert_uint_eq(key(&it), 0);
    scene_close(&it);
}
END_TEST

START_TEST(a_field_is_hashed_by_its_value_and_found_in_any_case)
{
    struct scene it;

    scene_open(&it, "maglev");
    it.conf.hash.field = SPAN("X-User");
    ck_assert_uint_eq(key(&it), 0);
    say(&it, SPAN("x-uSER"), SPAN("mia"));
    say(&it, SPAN("X-User"), SPAN("tom"));
    ck_assert_uint_eq(key(&it), balance_hash(SPAN("mia")));
    scene_close(&it);
}
END_TEST

START_TEST(a_cookie_is_found_in_any_line_by_its_whole_name)
{
    struct scene it;

    scene_open(&it, "ring_hash");
    it.conf.hash.cookie = SPAN("at");
    say(&it, SPAN("Cookie"), SPAN("bat=1; at; atx=2;; AT=3"));
    ck_assert_uint_eq(key(&it), 0);
    say(&it, SPAN("Cookie"), SPAN("a=b;at=x=y ;at=z"));
    ck_assert_uint_eq(key(&it), balance_hash(SPAN("x=y")));
    scene_close(&it);
}
END_TEST

START_TEST(a_query_parameter_is_hashed_decoded)
{
    struct scene it;

    scene_open(&it, "maglev");
    it.conf.hash.query = SPAN("user");
    it.ex.request.query = SPAN("a=1&user=m%69a");
    ck_assert_uint_eq(key(&it), 0);
    it.ex.request.has_query = true;
    ck_assert_uint_eq(key(&it), balance_hash(SPAN("mia")));
    it.ex.request.query = SPAN("users=1");
    ck_assert_uint_eq(key(&it), 0);
    scene_close(&it);
}
END_TEST

START_TEST(the_path_is_hashed_without_the_query)
{
    struct scene it;

    scene_open(&it, "maglev");
    it.conf.hash.by = HASH_BY_PATH;
    it.ex.request.query = SPAN("b=1");
    it.ex.request.has_query = true;
    ck_assert_uint_eq(key(&it), balance_hash(SPAN("/a")));
    scene_close(&it);
}
END_TEST

START_TEST(an_id_is_sixteen_hex_digits_and_nothing_else)
{
    static const char *const wrong[] = {"at=", "at=12", "at=000000000000000g",
                                        "at=00000000000000010", "at=\"0000000000000001\""};
    struct scene it;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        scene_open(&it, "sticky_cookie");
        say(&it, SPAN("cookie"), span_of(wrong[i]));
        ck_assert_uint_eq(key(&it), 0);
        scene_close(&it);
    }
    scene_open(&it, "sticky_cookie");
    say(&it, SPAN("cookie"), SPAN("at=0123456789abcDEF"));
    ck_assert_uint_eq(key(&it), 0x0123456789abcdef);
    scene_close(&it);
}
END_TEST

START_TEST(a_client_is_told_its_endpoint_once)
{
    struct scene it;

    scene_open(&it, "sticky_cookie");
    it.endpoint.member.id = 0xabc;
    say(&it, SPAN("cookie"), SPAN("at=0000000000000abc"));
    ck_assert_uint_eq(key(&it), 0xabc);
    ck_assert_int_eq(affinity_tell(&it.ex, &it.told), OK);
    ck_assert_uint_eq(it.told.n, 0);
    it.endpoint.member.id = 0xabd;
    ck_assert_int_eq(affinity_tell(&it.ex, &it.told), OK);
    ck_assert_uint_eq(it.told.n, 1);
    ck_assert(span_equal(field_value(&it.answer[0]), SPAN("at=0000000000000abd; Path=/")));
    scene_close(&it);
}
END_TEST

START_TEST(other_rules_tell_nothing)
{
    struct scene it;

    scene_open(&it, "maglev");
    ck_assert_int_eq(affinity_tell(&it.ex, &it.told), OK);
    ck_assert_uint_eq(it.told.n, 0);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("proxy/affinity", other_rules_get_no_key,
          a_field_is_hashed_by_its_value_and_found_in_any_case,
          a_cookie_is_found_in_any_line_by_its_whole_name, a_query_parameter_is_hashed_decoded,
          the_path_is_hashed_without_the_query, an_id_is_sixteen_hex_digits_and_nothing_else,
          a_client_is_told_its_endpoint_once, other_rules_tell_nothing)
