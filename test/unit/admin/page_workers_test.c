#include "sample.h"

#include <jansson.h>

static json_t *page_of(struct sample *sample, const char *ask)
{
    const char *answer = sample_ask(sample, ask, LOCAL);
    json_t *json = json_loads(sample_body(answer), JSON_REJECT_DUPLICATES, NULL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_ptr_nonnull(json);
    return json;
}

static long long number(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);

    ck_assert_msg(json_is_integer(value), "%s", name);
    return json_integer_value(value);
}

START_TEST(workers_are_told_one_by_one)
{
    struct sample *sample = sample_new(false);
    json_t *json, *second;

    sample->crew.connections = 12;
    sample->crew.max_connections = 1000;
    counter_add(&sample->workers[1]->counters.connections, 4);
    counter_add(&sample->workers[1]->counters.exchanges, 3);
    counter_add(&sample->workers[1]->counters.tunnels, 5);
    counter_add(&sample->workers[1]->counters.accepted, 9);
    counter_add(&sample->workers[1]->counters.handed_off, 2);
    counter_add(&sample->worker_loop.turns, 77);
    json = page_of(sample, "GET /workers");
    ck_assert_int_eq(number(json, "connections"), 12);
    ck_assert_int_eq(number(json, "max_connections"), 1000);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "workers")), SAMPLE_WORKERS);
    second = json_array_get(json_object_get(json, "workers"), 1);
    ck_assert_int_eq(number(second, "worker"), 1);
    ck_assert_int_eq(number(second, "connections"), 4);
    ck_assert_int_eq(number(second, "exchanges"), 3);
    ck_assert_int_eq(number(second, "tunnels"), 5);
    ck_assert_int_eq(number(second, "accepted"), 9);
    ck_assert_int_eq(number(second, "handed_off"), 2);
    ck_assert_int_eq(number(second, "loop_turns"), 77);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_workers", workers_are_told_one_by_one)
