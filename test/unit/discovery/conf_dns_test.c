#include "discovery/conf.h"

#include "unit.h"

#include <string.h>

struct scene {
    struct arena arena;
    struct notes *notes;
    struct text said;
};

static void scene_open(struct scene *it)
{
    arena_init(&it->arena, NULL, 0);
    it->notes = notes_new();
    text_init(&it->said, 4096);
}

static void scene_close(struct scene *it)
{
    text_fini(&it->said);
    notes_free(&it->notes);
    arena_fini(&it->arena);
}

/* Bind; all that is wrong with it is in it->said. */
static void read_as(struct scene *it, const struct shape *shape, const char *yaml, void *out)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct tree *tree = NULL;

    ck_assert_int_eq(tree_parse(span_of(yaml), "t", &it->arena, it->notes, &tree), OK);
    (void)!shape_bind(&bind, shape, tree, out);
    notes_print(it->notes, &it->said);
}

static bool has_server(const struct dns_conf *conf, size_t i, const char *text)
{
    return i < conf->servers.n &&
           span_equal(((const struct sluice_span *)conf->servers.first)[i], span_of(text));
}

START_TEST(servers_get_the_port_of_dns)
{
    struct dns_conf conf = {.family = 0};
    struct scene it;

    scene_open(&it);
    read_as(&it, &dns_shape, "servers: [ 10.0.0.2, \"127.0.0.1:8600\", \"::1\", \"[::1]:5353\" ]",
            &conf);
    ck_assert_uint_eq(notes_errors(it.notes), 0);
    ck_assert_uint_eq(conf.servers.n, 4);
    ck_assert(has_server(&conf, 0, "10.0.0.2:53"));
    ck_assert(has_server(&conf, 1, "127.0.0.1:8600"));
    ck_assert(has_server(&conf, 2, "[::1]:53"));
    ck_assert(has_server(&conf, 3, "[::1]:5353"));
    scene_close(&it);
}
END_TEST

START_TEST(what_is_no_server_is_refused)
{
    static const char *const wrong[] = {"servers: [ dns.example ]", "servers: [ 10.0.0.0/8 ]",
                                        "servers: [ \"unix:/run/dns\" ]",
                                        "servers: [ \"10.0.0.2:0\" ]", "servers: [ [ 10.0.0.2 ] ]"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct dns_conf conf = {.family = 0};
        struct scene it;

        scene_open(&it);
        read_as(&it, &dns_shape, wrong[i], &conf);
        ck_assert_msg(notes_errors(it.notes) == 1, "%s", wrong[i]);
        ck_assert_ptr_nonnull(strstr(it.said.ptr, "not the address of a DNS server"));
        scene_close(&it);
    }
}
END_TEST

START_TEST(presets_are_those_of_the_default)
{
    const struct dns_conf wanted = dns_conf_default();
    struct dns_conf conf = {.family = 0};
    struct scene it;

    scene_open(&it);
    read_as(&it, &dns_shape, "{}", &conf);
    ck_assert_uint_eq(conf.servers.n, 0);
    ck_assert_int_eq(conf.family, wanted.family);
    ck_assert_uint_eq(conf.timeout_ms, wanted.timeout_ms);
    ck_assert_uint_eq(conf.min_ms, wanted.min_ms);
    ck_assert_uint_eq(conf.max_ms, wanted.max_ms);
    scene_close(&it);
}
END_TEST

START_TEST(an_upstream_says_itself_or_takes_what_holds_for_all)
{
    struct dns_source_conf own = {.port = 0};
    struct dns_conf all = {.family = 0}, joined;
    struct scene it;

    scene_open(&it);
    read_as(
        &it, &dns_shape,
        "{ servers: [ 10.0.0.2 ], family: ipv6, timeout: 2s, refresh_min: 7s, refresh_max: 9s }",
        &all);
    read_as(&it, &dns_source_shape, "{ name: app.test, port: 80, family: both, refresh_max: 8s }",
            &own);
    ck_assert_uint_eq(notes_errors(it.notes), 0);
    joined = dns_conf_join(&own.how, &all, &it.arena);
    ck_assert(has_server(&joined, 0, "10.0.0.2:53"));
    ck_assert_int_eq(joined.family, DNS_BOTH);
    ck_assert_uint_eq(joined.timeout_ms, 2000);
    ck_assert_uint_eq(joined.min_ms, 7000);
    ck_assert_uint_eq(joined.max_ms, 8000);
    scene_close(&it);
}
END_TEST

START_TEST(a_name_needs_a_port_or_srv_and_not_both)
{
    static const struct {
        const char *yaml, *said;
    } rows[] = {
        {"{ name: app.test }", "on which port 'app.test' listens is not said"},
        {"{ name: app.test, srv: true, port: 80 }", "SRV records say the port themselves"},
        {"{ name: 10.0.0.1, port: 80 }", "is not a name that DNS can be asked for"},
        {"{ name: \"a b\", port: 80 }", "is not a name that DNS can be asked for"},
        {"{ name: app.test, port: 80, refresh_min: 9s, refresh_max: 8s }",
         "refresh_min is longer than refresh_max"},
        {"{ port: 80 }", "name"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_source_conf conf = {.port = 0};
        struct scene it;

        scene_open(&it);
        read_as(&it, &dns_source_shape, rows[i].yaml, &conf);
        ck_assert_msg(notes_errors(it.notes) > 0, "%s", rows[i].yaml);
        ck_assert_msg(strstr(it.said.ptr, rows[i].said) != NULL, "%s: %s", rows[i].yaml,
                      it.said.ptr);
        scene_close(&it);
    }
}
END_TEST

START_TEST(the_key_tells_ways_of_asking_apart)
{
    static const char *const different[] = {"{}",
                                            "{ servers: [ 10.0.0.2 ] }",
                                            "{ servers: [ 10.0.0.3 ] }",
                                            "{ servers: [ 10.0.0.2, 10.0.0.3 ] }",
                                            "{ family: ipv4 }",
                                            "{ timeout: 3s }",
                                            "{ refresh_min: 3s }",
                                            "{ refresh_max: 9m }"};
    enum { N = sizeof(different) / sizeof(different[0]) };
    char keys[N][256];

    for (size_t i = 0; i < N; i++) {
        struct dns_conf conf = {.family = 0};
        struct scene it;
        struct text key;

        scene_open(&it);
        text_init_fixed(&key, keys[i], sizeof(keys[i]));
        read_as(&it, &dns_shape, different[i], &conf);
        dns_conf_say_key(&conf, &key);
        for (size_t before = 0; before < i; before++)
            ck_assert_str_ne(keys[before], keys[i]);
        scene_close(&it);
    }
}
END_TEST

UNIT_MAIN("discovery/conf_dns", servers_get_the_port_of_dns, what_is_no_server_is_refused,
          presets_are_those_of_the_default, an_upstream_says_itself_or_takes_what_holds_for_all,
          a_name_needs_a_port_or_srv_and_not_both, the_key_tells_ways_of_asking_apart)
