#include "sample.h"
#include "unit.h"

#include <string.h>

static struct bench bench;

static const struct sample_upstream *upstream(size_t i)
{
    return (const struct sample_upstream *)bench.sample.upstreams.first + i;
}

static const struct sample_route *route(size_t i)
{
    return (const struct sample_route *)bench.sample.routes.first + i;
}

static const struct sample_endpoint *endpoint(const struct sample_upstream *of, size_t i)
{
    return (const struct sample_endpoint *)of->endpoints.first + i;
}

static void bind_ok(const char *yaml)
{
    bench_init(&bench);
    ck_assert_msg(bench_bind(&bench, yaml) == OK, "%s", bench_told(&bench));
    ck_assert_str_eq(bench_told(&bench), "");
}

static void assert_refused(const char *yaml, const char *want)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, yaml), ERR_CONFIG);
    ck_assert_str_eq(bench_told(&bench), want);
    bench_fini(&bench);
}

static void assert_presets(void)
{
    ck_assert_uint_eq(bench.sample.workers, 4);
    ck_assert_uint_eq(bench.sample.body_bytes, 65536);
    ck_assert_double_eq(bench.sample.share, 0.5);
    ck_assert_int_eq(bench.sample.port, 8080);
    ck_assert(span_equal(bench.sample.note, SPAN("a: b")));
    ck_assert_uint_eq(bench.sample.timeout.connect_ms, 2000);
    ck_assert_uint_eq(bench.sample.timeout.response_ms, 60000);
    ck_assert_uint_eq(bench.sample.upstreams.n, 0);
    ck_assert_uint_eq(bench.sample.routes.n, 1);
    ck_assert(route(0)->echo);
}

START_TEST(presets_hold_for_what_is_not_written)
{
    bind_ok("");
    assert_presets();
    bench_fini(&bench);
}
END_TEST

START_TEST(presets_are_bound_without_a_node)
{
    bench_init(&bench);
    memset(&bench.sample, 0xaa, sizeof(bench.sample));
    ck_assert_int_eq(shape_bind(&bench.bind, &sample_shape, NULL, &bench.sample), OK);
    assert_presets();
    bench_fini(&bench);
}
END_TEST

START_TEST(presets_hold_for_keys_without_a_value)
{
    bind_ok("workers:\nbody: ~\nshare: null\nport:\nnote:\ntimeout:\nupstreams:\nroutes:\n");
    assert_presets();
    bench_fini(&bench);
}
END_TEST

START_TEST(written_values_are_stored)
{
    bind_ok("workers: 7\nbody: 1MiB\nshare: 0.25\nport: 99\nnote: 'n'\n"
            "timeout: { connect: 1m }\n"
            "upstreams:\n"
            "  app: { endpoints: [ 'a:1', { address: 'b:2', weight: 5 } ], balance: round_robin }\n"
            "  two: { endpoints: { address: c }, token: t }\n"
            "routes:\n"
            "  - { name: r, upstream: app, hosts: [ x, y ], fields: { k: v, l: { value: w } } }\n");
    ck_assert_uint_eq(bench.sample.workers, 7);
    ck_assert_uint_eq(bench.sample.body_bytes, 1 << 20);
    ck_assert_int_eq(bench.sample.port, 99);
    ck_assert_uint_eq(bench.sample.timeout.connect_ms, 60000);
    ck_assert_uint_eq(bench.sample.timeout.response_ms, 60000);
    ck_assert_uint_eq(bench.sample.upstreams.n, 2);
    ck_assert(span_equal(upstream(0)->named.name, SPAN("app")));
    ck_assert_uint_eq(upstream(0)->named.at.line, 8);
    ck_assert_int_eq(upstream(0)->balance, 0);
    ck_assert_uint_eq(upstream(0)->endpoints.n, 2);
    ck_assert(span_equal(endpoint(upstream(0), 0)->address, SPAN("a:1")));
    ck_assert_uint_eq(endpoint(upstream(0), 0)->weight, 1);
    ck_assert_uint_eq(endpoint(upstream(0), 1)->weight, 5);
    ck_assert_uint_eq(upstream(1)->endpoints.n, 1);
    ck_assert_int_eq(upstream(1)->balance, 1);
    ck_assert(span_equal(upstream(1)->token, SPAN("t")));
    ck_assert_uint_eq(bench.sample.routes.n, 1);
    ck_assert(!route(0)->echo);
    ck_assert_uint_eq(route(0)->hosts.n, 2);
    ck_assert_uint_eq(route(0)->fields.n, 2);
    ck_assert(span_equal(((struct sample_field *)route(0)->fields.first)[1].named.name, SPAN("l")));
    ck_assert(span_equal(((struct sample_field *)route(0)->fields.first)[1].value, SPAN("w")));
    bench_fini(&bench);
}
END_TEST

START_TEST(preset_of_a_struct_lies_under_what_is_written)
{
    bind_ok("upstreams:\n"
            "  a: { endpoints: x }\n"
            "  b: { endpoints: x, timeout: { response: 5s } }\n"
            "  c: { endpoints: x, timeout: { connect: 9s } }\n");
    ck_assert_uint_eq(upstream(0)->timeout.connect_ms, 1000);
    ck_assert_uint_eq(upstream(0)->timeout.response_ms, 60000);
    ck_assert_uint_eq(upstream(1)->timeout.connect_ms, 1000);
    ck_assert_uint_eq(upstream(1)->timeout.response_ms, 5000);
    ck_assert_uint_eq(upstream(2)->timeout.connect_ms, 9000);
    bench_fini(&bench);
}
END_TEST

START_TEST(one_alone_is_a_list_of_one)
{
    bind_ok("upstreams: { a: { endpoints: 'x:1' } }\nroutes: { echo: on, hosts: h }\n");
    ck_assert(span_equal(endpoint(upstream(0), 0)->address, SPAN("x:1")));
    ck_assert_uint_eq(bench.sample.routes.n, 1);
    ck_assert_uint_eq(route(0)->hosts.n, 1);
    bench_fini(&bench);
}
END_TEST

START_TEST(empty_list_is_not_the_preset)
{
    bind_ok("routes: []\n");
    ck_assert_uint_eq(bench.sample.routes.n, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(unknown_key_is_told_with_the_nearest_and_the_allowed)
{
    assert_refused("routes:\n  - name: orders\n    upsteam: app\n",
                   "t.yaml:3:5: error: unknown key 'upsteam' in route 'orders'\n"
                   "    3 |     upsteam: app\n"
                   "      |     ^^^^^^^ did you mean 'upstream'? allowed: name, upstream, hosts, "
                   "fields, echo\n"
                   "1 error\n");
}
END_TEST

START_TEST(unknown_key_names_the_map_it_is_in)
{
    assert_refused("upstreams:\n  app: { endpoints: x, zzzzz: 1, timeout: { conect: 1s } }\n",
                   "t.yaml:2:24: error: unknown key 'zzzzz' in upstream 'app'\n"
                   "    2 |   app: { endpoints: x, zzzzz: 1, timeout: { conect: 1s } }\n"
                   "      |                        ^^^^^ allowed: endpoints, balance, timeout, "
                   "token\n"
                   "t.yaml:2:45: error: unknown key 'conect' in 'timeout'\n"
                   "    2 |   app: { endpoints: x, zzzzz: 1, timeout: { conect: 1s } }\n"
                   "      |                                             ^^^^^^ did you mean "
                   "'connect'? allowed: connect, response\n"
                   "2 errors\n");
}
END_TEST

START_TEST(unknown_key_of_the_top_level_is_told)
{
    assert_refused("worker: 1\n",
                   "t.yaml:1:1: error: unknown key 'worker'\n"
                   "    1 | worker: 1\n"
                   "      | ^^^^^^ did you mean 'workers'? allowed: workers, body, share, port, "
                   "note, timeout, upstreams, routes\n"
                   "1 error\n");
}
END_TEST

START_TEST(missing_key_is_told_with_what_it_should_be)
{
    assert_refused("upstreams:\n  app: { balance: round_robin }\n",
                   "t.yaml:2:3: error: missing key 'endpoints' in upstream 'app'\n"
                   "    2 |   app: { balance: round_robin }\n"
                   "      |   ^^^ a list, such as endpoints: [ 127.0.0.1:9000 ]\n"
                   "1 error\n");
    assert_refused("upstreams:\n  app:\n",
                   "t.yaml:2:3: error: missing key 'endpoints' in upstream 'app'\n"
                   "    2 |   app:\n"
                   "      |   ^^^ a list, such as endpoints: [ 127.0.0.1:9000 ]\n"
                   "1 error\n");
}
END_TEST

START_TEST(required_key_without_a_value_is_told)
{
    assert_refused("upstreams:\n  app:\n    endpoints:\n",
                   "t.yaml:3:5: error: key 'endpoints' in upstream 'app' has no value\n"
                   "    3 |     endpoints:\n"
                   "      |     ^^^^^^^^^ a list, such as endpoints: [ 127.0.0.1:9000 ]\n"
                   "1 error\n");
}
END_TEST

START_TEST(wrong_kind_is_told_with_what_was_expected_and_found)
{
    assert_refused("upstreams: [ a ]\nroutes:\n  - 5\n  - [ x ]\n",
                   "t.yaml:1:12: error: expected a map of names, found a list\n"
                   "    1 | upstreams: [ a ]\n"
                   "      |            ^\n"
                   "t.yaml:3:5: error: expected a map of keys and values, found '5'\n"
                   "    3 |   - 5\n"
                   "      |     ^\n"
                   "t.yaml:4:5: error: expected a map of keys and values, found a list\n"
                   "    4 |   - [ x ]\n"
                   "      |     ^\n"
                   "3 errors\n");
}
END_TEST

START_TEST(top_level_that_is_no_map_is_told)
{
    assert_refused("- a\n", "t.yaml:1:1: error: expected a map of keys and values, found a list\n"
                            "    1 | - a\n"
                            "      | ^\n"
                            "1 error\n");
}
END_TEST

START_TEST(number_of_elements_is_bounded)
{
    assert_refused("upstreams:\n  a: { endpoints: [] }\n  b: { endpoints: [1, 2, 3, 4] }\n",
                   "t.yaml:2:19: error: expected at least 1 here, found 0\n"
                   "    2 |   a: { endpoints: [] }\n"
                   "      |                   ^\n"
                   "t.yaml:3:19: error: expected at most 3 here, found 4\n"
                   "    3 |   b: { endpoints: [1, 2, 3, 4] }\n"
                   "      |                   ^\n"
                   "2 errors\n");
}
END_TEST

START_TEST(element_without_a_value_is_told)
{
    assert_refused("routes: { echo: on, hosts: [ a, ~ ] }\n",
                   "t.yaml:1:33: error: expected text, found nothing\n"
                   "    1 | routes: { echo: on, hosts: [ a, ~ ] }\n"
                   "      |                                 ^\n"
                   "1 error\n");
}
END_TEST

START_TEST(empty_name_is_refused)
{
    assert_refused("upstreams: { '': { endpoints: x } }\n",
                   "t.yaml:1:14: error: a name must not be empty\n"
                   "    1 | upstreams: { '': { endpoints: x } }\n"
                   "      |              ^^\n"
                   "1 error\n");
}
END_TEST

START_TEST(custom_value_that_is_refused_silently_gets_a_message)
{
    assert_refused("port: high\n", "t.yaml:1:7: error: expected a port such as 8080, found 'high'\n"
                                   "    1 | port: high\n"
                                   "      |       ^^^^\n"
                                   "1 error\n");
}
END_TEST

START_TEST(custom_value_may_note_an_error_of_its_own)
{
    assert_refused("port: 1\n", "t.yaml:1:7: error: port 1 is taken\n"
                                "    1 | port: 1\n"
                                "      |       ^\n"
                                "1 error\n");
}
END_TEST

START_TEST(check_of_a_struct_is_an_error_of_the_bind)
{
    assert_refused("routes:\n  - name: x\n", "t.yaml:2:5: error: a route without an action\n"
                                             "    2 |   - name: x\n"
                                             "      |     ^ add upstream: NAME\n"
                                             "1 error\n");
}
END_TEST

START_TEST(check_is_not_called_when_a_key_of_the_struct_is_wrong)
{
    static const char *const wrong[] = {
        "routes: [ { upsteam: a } ]", "routes: [ { upstream: [] } ]",
        "routes: [ { echo: perhaps } ]", "routes: [ { upstream: '${NONE_SUCH}' } ]"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        bench_init(&bench);
        ck_assert_int_eq(bench_bind(&bench, wrong[i]), ERR_CONFIG);
        ck_assert_uint_eq(notes_errors(bench.notes), 1);
        bench_fini(&bench);
    }
}
END_TEST

START_TEST(check_is_called_when_only_something_deeper_is_wrong)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, "timeout: { connect: 5 }\nroutes: [ { name: x } ]\n"),
                     ERR_CONFIG);
    ck_assert_uint_eq(bench.sample.checked, 1);
    ck_assert_uint_eq(notes_errors(bench.notes), 2);
    bench_fini(&bench);
    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, "workers: x\n"), ERR_CONFIG);
    ck_assert_uint_eq(bench.sample.checked, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(wrong_value_holds_its_preset)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, "workers: x\nbody: [1]\ntimeout: 5\nupstreams: 1\n"),
                     ERR_CONFIG);
    assert_presets();
    bench_fini(&bench);
}
END_TEST

START_TEST(all_errors_of_a_file_are_told_at_once)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench,
                                "workers: 0\nbody: 1k\nshare: 2\nport: x\nnote: []\nzzz: 1\n"
                                "timeout: { connect: 5, response: 1.5s }\n"
                                "upstreams: { a: { endpoints: [ { weight: 0 } ], balance: x } }\n"
                                "routes: [ {}, { echo: 5, echo: 6 } ]\n"),
                     ERR_CONFIG);
    ck_assert_uint_eq(notes_errors(bench.notes), 14);
    bench_fini(&bench);
}
END_TEST

START_TEST(scalar_that_stands_for_a_struct_must_fit_its_field)
{
    static const struct shape endpoint_by_weight = {.kind = SHAPE_STRUCT,
                                                    .size = sizeof(struct sample_endpoint),
                                                    .fields = sample_endpoint_fields,
                                                    .scalar = "weight"};
    struct sample_endpoint out;

    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "v: 0\n"), OK);
    ck_assert_int_eq(
        shape_bind(&bench.bind, &endpoint_by_weight, tree_find(bench.tree, SPAN("v")), &out),
        ERR_CONFIG);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("t.yaml:1:4: error: 0 is too small")));
    bench_fini(&bench);
}
END_TEST

START_TEST(preset_that_is_wrong_is_told)
{
    static const struct field fields[] = {
        {"n", &shape_uint, 0, "many", false, NULL, NULL},
        {"l", &shape_texts, 8, "[ a", false, NULL, NULL},
        {0},
    };
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 32, .fields = fields};
    uint64_t out[4];

    bench_init(&bench);
    ck_assert_int_eq(shape_bind(&bench.bind, &shape, NULL, out), ERR_CONFIG);
    ck_assert(
        span_has(span_of(bench_told(&bench)), SPAN("error: expected a whole number, found 'many'\n"
                                                   "error: the default of 'n' is wrong: many\n")));
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("the default of 'l' is wrong: [ a\n")));
    bench_fini(&bench);
}
END_TEST

START_TEST(arena_that_is_full_is_an_error_not_a_crash)
{
    struct arena small;

    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "upstreams: { a: { endpoints: [x, y] } }\n"), OK);
    for (size_t max = 1; max < 4096 * 2; max += 512) {
        arena_init(&small, NULL, max);
        bench.bind = (struct bind){.arena = &small, .notes = bench.notes};
        if (shape_bind(&bench.bind, &sample_shape, bench.tree, &bench.sample) == OK)
            ck_assert_uint_gt(max, 1024);
        arena_fini(&small);
    }
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("needs more memory")));
    bench_fini(&bench);
}
END_TEST

UNIT_MAIN("config/shape", presets_hold_for_what_is_not_written, presets_are_bound_without_a_node,
          presets_hold_for_keys_without_a_value, written_values_are_stored,
          preset_of_a_struct_lies_under_what_is_written, one_alone_is_a_list_of_one,
          empty_list_is_not_the_preset, unknown_key_is_told_with_the_nearest_and_the_allowed,
          unknown_key_names_the_map_it_is_in, unknown_key_of_the_top_level_is_told,
          missing_key_is_told_with_what_it_should_be, required_key_without_a_value_is_told,
          wrong_kind_is_told_with_what_was_expected_and_found, top_level_that_is_no_map_is_told,
          number_of_elements_is_bounded, element_without_a_value_is_told, empty_name_is_refused,
          custom_value_that_is_refused_silently_gets_a_message,
          custom_value_may_note_an_error_of_its_own, check_of_a_struct_is_an_error_of_the_bind,
          check_is_not_called_when_a_key_of_the_struct_is_wrong,
          check_is_called_when_only_something_deeper_is_wrong, wrong_value_holds_its_preset,
          all_errors_of_a_file_are_told_at_once, scalar_that_stands_for_a_struct_must_fit_its_field,
          preset_that_is_wrong_is_told, arena_that_is_full_is_an_error_not_a_crash)
