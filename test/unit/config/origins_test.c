#include "sample.h"
#include "unit.h"

static struct bench bench;

static void assert_written(const void *address, unsigned line, unsigned column)
{
    struct mark at = {0};

    ck_assert(origins_find(bench.bind.origins, address, &at));
    ck_assert_uint_eq(at.line, line);
    ck_assert_uint_eq(at.column, column);
}

START_TEST(origin_of_a_written_value_is_its_place)
{
    const struct sample_upstream *upstream;
    const struct sample_route *route;

    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, "workers: 2\nport: 80\ntimeout:\n  response: 5s\n"
                                        "upstreams:\n  a: { endpoints: [ x ] }\n"
                                        "routes:\n  - { echo: on, hosts: [ p, q ] }\n"),
                     OK);
    assert_written(&bench.sample.workers, 1, 10);
    assert_written(&bench.sample.port, 2, 7);
    assert_written(&bench.sample.timeout.response_ms, 4, 13);
    upstream = bench.sample.upstreams.first;
    assert_written(&((struct sample_endpoint *)upstream->endpoints.first)->address, 6, 21);
    route = bench.sample.routes.first;
    assert_written(&route->echo, 8, 13);
    assert_written((struct sluice_span *)route->hosts.first + 1, 8, 29);
    bench_fini(&bench);
}
END_TEST

START_TEST(origin_of_a_preset_is_unknown)
{
    struct mark at;

    bench_init(&bench);
    ck_assert_int_eq(bench_bind(&bench, "timeout: { response: 5s }\nworkers:\n"), OK);
    ck_assert(!origins_find(bench.bind.origins, &bench.sample.workers, &at));
    ck_assert(!origins_find(bench.bind.origins, &bench.sample.timeout.connect_ms, &at));
    ck_assert(!origins_find(bench.bind.origins, bench.sample.routes.first, &at));
    ck_assert(!origins_find(bench.bind.origins, &bench, &at));
    bench_fini(&bench);
}
END_TEST

START_TEST(origins_hold_thousands_of_values)
{
    const struct sluice_span *hosts;
    struct text yaml;

    bench_init(&bench);
    text_init(&yaml, 1 << 20);
    text_add(&yaml, SPAN("routes:\n  echo: on\n  hosts:\n"));
    for (unsigned i = 0; i < 5000; i++)
        text_format(&yaml, "    - h%u\n", i);
    ck_assert_int_eq(bench_bind(&bench, yaml.ptr), OK);
    hosts = ((struct sample_route *)bench.sample.routes.first)->hosts.first;
    for (unsigned i = 0; i < 5000; i++)
        assert_written(&hosts[i], i + 4, 7);
    text_fini(&yaml);
    bench_fini(&bench);
}
END_TEST

START_TEST(origins_are_optional)
{
    struct mark at;

    bench_init(&bench);
    ck_assert(!origins_find(bench.bind.origins, &bench, &at));
    ck_assert(!origins_find(NULL, &bench, &at));
    bench.bind.origins = NULL;
    ck_assert_int_eq(bench_bind(&bench, "workers: 2\n"), OK);
    bench_fini(&bench);
}
END_TEST

UNIT_MAIN("config/origins", origin_of_a_written_value_is_its_place, origin_of_a_preset_is_unknown,
          origins_hold_thousands_of_values, origins_are_optional)
