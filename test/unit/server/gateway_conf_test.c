#include "server/gateway_conf.h"

#include "base/log.h"
#include "server_case.h"

/* A configuration of a test. */
struct loading {
    struct gateway_loaded loaded;
    struct notes *notes;
    struct text told;
    enum err err;
};

static void load_source(struct loading *it, const struct gateway_source *source)
{
    it->notes = notes_new();
    it->err = gateway_load(source, it->notes, &it->loaded);
    text_init(&it->told, CASE_BYTES);
    notes_print(it->notes, &it->told);
}

static void load(struct loading *it, const char *yaml)
{
    const char *path = case_file(yaml);

    load_source(it, &(struct gateway_source){.path = path});
    unlink(path);
}

static void unload(struct loading *it)
{
    gateway_unload(&it->loaded);
    notes_free(&it->notes);
    text_fini(&it->told);
}

static bool tells(const struct loading *it, const char *text)
{
    return span_has(text_span(&it->told), span_of(text));
}

#define ROUTES "routes: [ { echo: true } ]\n"

/* -- what cannot be read ------------------------------------------------------------- */

START_TEST(a_text_that_is_not_yaml_is_not_called_empty)
{
    static const char *const texts[] = {"listeners:\n\t- bind: x\n", "listeners: [\n", "a: \xff\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct loading it;

        load(&it, texts[i]);
        ck_assert_int_eq(it.err, ERR_CONFIG);
        ck_assert_msg(tells(&it, "not valid YAML"), "%s", it.told.ptr);
        ck_assert_uint_eq(notes_errors(it.notes), 1);
        unload(&it);
    }
}
END_TEST

/* -- the source of truth ------------------------------------------------------------- */

static void assert_same_tree(const struct tree *a, const struct tree *b)
{
    const struct tree *child = a->first;

    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->n_children, b->n_children);
    ck_assert(span_equal(a->text, b->text));
    while (child) {
        const struct tree *other = b->first;

        for (const struct tree *at = a->first; at != child && a->kind == TREE_LIST; at = at->next)
            other = other->next;
        if (a->kind == TREE_MAP)
            other = tree_find(b, child->key);
        ck_assert_ptr_nonnull(other);
        assert_same_tree(child, other);
        child = child->next;
    }
}

START_TEST(the_shipped_file_means_what_is_built_in)
{
    struct loading shipped, built_in;

    load_source(&shipped, &(struct gateway_source){.path = "conf/sluice.yaml"});
    load_source(&built_in, &(struct gateway_source){.path = NULL});
    ck_assert_msg(shipped.err == OK, "%s", shipped.told.ptr);
    ck_assert_msg(built_in.err == OK, "%s", built_in.told.ptr);
    for (const struct tree *key = built_in.loaded.tree->first; key; key = key->next) {
        const struct tree *same = tree_find(shipped.loaded.tree, key->key);

        ck_assert_ptr_nonnull(same);
        assert_same_tree(same, key);
    }
    /* The file writes one key more, which says what is the default anyway. */
    ck_assert_uint_eq(shipped.loaded.tree->n_children, built_in.loaded.tree->n_children + 1);
    ck_assert(span_equal(shipped.loaded.conf.admin.bind, built_in.loaded.conf.admin.bind));
    unload(&built_in);
    unload(&shipped);
}
END_TEST

START_TEST(what_is_not_written_has_its_default)
{
    struct loading it;
    const struct listener_conf *listener;

    load(&it, ROUTES);
    ck_assert_msg(it.err == OK, "%s", it.told.ptr);
    listener = it.loaded.conf.serving.listeners.first;
    ck_assert_uint_eq(it.loaded.conf.serving.listeners.n, 1);
    ck_assert(span_equal(listener->name, SPAN("default")));
    ck_assert_uint_eq(listener->addr.port, 8080);
    ck_assert_uint_eq(it.loaded.conf.workers, 0);
    ck_assert_int_eq(it.loaded.conf.log.level, LOG_INFO);
    ck_assert(span_equal(it.loaded.conf.log.path, SPAN("stderr")));
    ck_assert_uint_eq(it.loaded.conf.admin.addr.port, 9901);
    ck_assert_uint_eq(it.loaded.conf.drain.timeout_ms, 30000);
    ck_assert_uint_eq(it.loaded.conf.drain.idle_ms, 1000);
    ck_assert(span_equal(it.loaded.conf.serving.access_log.path, SPAN("off")));
    unload(&it);
}
END_TEST

/* -- keys ------------------------------------------------------------------------------ */

START_TEST(workers_are_auto_or_1_to_256)
{
    static const struct {
        const char *text;
        bool fine;
        uint64_t workers;
    } cases[] = {{"auto", true, 0}, {"1", true, 1},    {"256", true, 256}, {"0", false, 0},
                 {"257", false, 0}, {"-1", false, 0},  {"many", false, 0}, {"[ 1 ]", false, 0},
                 {"1.5", false, 0}, {"0x1", false, 0}, {"{ }", false, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loading it;
        char yaml[128];

        snprintf(yaml, sizeof(yaml), "workers: %s\n" ROUTES, cases[i].text);
        load(&it, yaml);
        ck_assert_msg((it.err == OK) == cases[i].fine, "%s: %s", cases[i].text, it.told.ptr);
        if (cases[i].fine)
            ck_assert_uint_eq(it.loaded.conf.workers, cases[i].workers);
        else
            ck_assert(tells(&it, ":1:10: error: workers"));
        unload(&it);
    }
}
END_TEST

START_TEST(admin_is_a_map_an_address_or_off)
{
    struct loading it;

    load(&it, "admin: { bind: \"unix:/run/a.sock\" }\n" ROUTES);
    ck_assert_int_eq(it.err, OK);
    ck_assert_str_eq(it.loaded.conf.admin.addr.path, "/run/a.sock");
    unload(&it);
    load(&it, "admin: 127.0.0.1:0\n" ROUTES);
    ck_assert_int_eq(it.err, OK);
    ck_assert(!it.loaded.conf.admin.off);
    unload(&it);
    load(&it, "admin: off\n" ROUTES);
    ck_assert_int_eq(it.err, OK);
    ck_assert(it.loaded.conf.admin.off);
    unload(&it);
    load(&it, "admin: localhost\n" ROUTES);
    ck_assert_int_eq(it.err, ERR_CONFIG);
    ck_assert(tells(&it, ":1:8: error: 'localhost' is not an address for the admin listener"));
    unload(&it);
}
END_TEST

START_TEST(no_routes_is_a_warning)
{
    struct loading it;

    load(&it, "workers: 1\n");
    ck_assert_int_eq(it.err, OK);
    ck_assert(tells(&it, "warning: no routes"));
    unload(&it);
}
END_TEST

START_TEST(a_file_that_says_nothing_is_refused)
{
    struct loading it;

    load(&it, "# nothing but this\n");
    ck_assert_int_eq(it.err, ERR_CONFIG);
    ck_assert(tells(&it, "error: the configuration is empty"));
    unload(&it);
}
END_TEST

START_TEST(a_refused_file_is_still_asked_for_its_endpoints)
{
    struct loading it;

    load(&it, "wrokers: 1\nupstreams: { app: { endpoints: [ nonsense ] } }\n"
              "routes: [ { upstream: app } ]\n");
    ck_assert_int_eq(it.err, ERR_CONFIG);
    ck_assert(tells(&it, ":1:1: error: unknown key 'wrokers'"));
    ck_assert(tells(&it, ":2:34: error: endpoint 'nonsense'"));
    ck_assert_ptr_null(it.loaded.tree);
    unload(&it);
}
END_TEST

/* -- the command line -------------------------------------------------------------------- */

START_TEST(to_takes_a_plain_http_url_only)
{
    static const char *const fine[] = {"http://127.0.0.1:9000", "http://[::1]:80",
                                       "http://app.example", "http://app:1/"};
    static const char *const wrong[] = {
        "",          "nonsense",   "ftp://a",    "http://",    "http:///",   "http://a:99999",
        "http://:1", "http://a/b", "http://a?b", "http://u@a", "http://a b", "http://a:1\nx: y"};
    struct sluice_span authority;

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        ck_assert_msg(!gateway_check_url(fine[i], &authority), "%s", fine[i]);
    ck_assert(span_equal(authority, SPAN("app:1")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(gateway_check_url(wrong[i], &authority) != NULL, "%s", wrong[i]);
    ck_assert_ptr_nonnull(strstr(gateway_check_url("https://a", &authority), "not supported yet"));
}
END_TEST

START_TEST(what_to_and_listen_stand_for_is_a_configuration)
{
    const struct gateway_source source = {.to = "http://127.0.0.1", .listen = "[::1]:0"};
    struct loading it;
    const struct listener_conf *listener;
    const struct upstream_conf *upstream;
    const struct endpoint_conf *endpoint;

    load_source(&it, &source);
    ck_assert_msg(it.err == OK, "%s", it.told.ptr);
    listener = it.loaded.conf.serving.listeners.first;
    upstream = it.loaded.conf.serving.upstreams.first;
    endpoint = upstream->source.endpoints.first;
    ck_assert(span_equal(listener->bind, SPAN("[::1]:0")));
    ck_assert(span_equal(endpoint->address, SPAN("127.0.0.1:80")));
    ck_assert_uint_eq(it.loaded.conf.serving.routes.n, 1);
    unload(&it);
}
END_TEST

START_TEST(a_version_6_address_without_port_gets_port_80)
{
    struct loading it;
    const struct upstream_conf *upstream;
    const struct endpoint_conf *endpoint;

    load_source(&it, &(struct gateway_source){.to = "http://[::1]"});
    ck_assert_msg(it.err == OK, "%s", it.told.ptr);
    upstream = it.loaded.conf.serving.upstreams.first;
    endpoint = upstream->source.endpoints.first;
    ck_assert(span_equal(endpoint->address, SPAN("[::1]:80")));
    unload(&it);
}
END_TEST

UNIT_MAIN("server/gateway_conf", a_text_that_is_not_yaml_is_not_called_empty,
          the_shipped_file_means_what_is_built_in, what_is_not_written_has_its_default,
          workers_are_auto_or_1_to_256, admin_is_a_map_an_address_or_off, no_routes_is_a_warning,
          a_file_that_says_nothing_is_refused, a_refused_file_is_still_asked_for_its_endpoints,
          to_takes_a_plain_http_url_only, what_to_and_listen_stand_for_is_a_configuration,
          a_version_6_address_without_port_gets_port_80)
