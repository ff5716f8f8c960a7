#include "sample.h"

#include <jansson.h>

static json_t *memory_of(struct sample *sample)
{
    const char *answer = sample_ask(sample, "GET /memory", LOCAL);
    json_t *json = json_loads(sample_body(answer), JSON_REJECT_DUPLICATES, NULL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const json_t *kind_of(const json_t *memory, const char *name)
{
    const json_t *kinds = json_object_get(memory, "kinds");

    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = json_array_get(kinds, i);

        if (strcmp(json_string_value(json_object_get(kind, "kind")), name) == 0)
            return kind;
    }
    ck_abort_msg("no kind %s", name);
    return NULL;
}

static long long number(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);

    ck_assert_msg(json_is_integer(value), "%s", name);
    return json_integer_value(value);
}

START_TEST(slabs_of_all_workers_are_added_up)
{
    struct sample *sample = sample_new(false);
    const json_t *sessions;
    json_t *json;

    for (unsigned i = 0; i < SAMPLE_WORKERS; i++) {
        slab_init(&sample->workers[i]->sessions, 344, 0);
        ck_assert_ptr_nonnull(slab_take(&sample->workers[i]->sessions));
    }
    slab_give(&sample->workers[0]->sessions, slab_take(&sample->workers[0]->sessions));
    sample->crew.connections = 2;
    json = memory_of(sample);
    sessions = kind_of(json, "sessions");
    ck_assert_int_eq(number(sessions, "used"), SAMPLE_WORKERS);
    ck_assert_int_eq(number(sessions, "free"), 1);
    ck_assert_int_eq(number(sessions, "each"), 344);
    ck_assert_int_eq(number(sessions, "bytes"), SAMPLE_WORKERS * 64 * 1024);
    ck_assert_int_eq(number(json, "connections"), 2);
    ck_assert_int_gt(number(json, "bytes_a_connection"), 0);
    json_decref(json);
    for (unsigned i = 0; i < SAMPLE_WORKERS; i++) {
        slab_fini(&sample->workers[i]->sessions);
    }
    sample_free(&sample);
}
END_TEST

START_TEST(without_connections_nothing_is_divided)
{
    struct sample *sample = sample_new(false);
    json_t *json = memory_of(sample);

    ck_assert_ptr_null(json_object_get(json, "bytes_a_connection"));
    ck_assert_int_gt(number(kind_of(json, "worker_buffers"), "bytes"), 0);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_memory", slabs_of_all_workers_are_added_up,
          without_connections_nothing_is_divided)
