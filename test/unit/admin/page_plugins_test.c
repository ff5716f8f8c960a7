#include "sample.h"

#include <jansson.h>

START_TEST(without_plugins_the_page_is_empty)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /plugins", LOCAL);
    json_t *json = json_loads(sample_body(answer), 0, NULL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "generation")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "plugins")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "places")), 0);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(commands_need_a_place)
{
    struct sample *sample = sample_new(false);
    const char *answer =
        sample_ask(sample, "POST /plugins/route.a.fault", LOCAL "Content-Length: 0\r\n");

    ck_assert_uint_eq(sample_status(answer), 404);
    ck_assert_ptr_nonnull(strstr(answer, "There are no plugins."));
    sample_free(&sample);
}
END_TEST

START_TEST(commands_are_guarded_as_all_actions)
{
    struct sample *sample = sample_new(false);

    ck_assert_uint_eq(sample_status(sample_ask(sample, "POST /plugins/x",
                                               LOCAL "Origin: http://localhost\r\n"
                                                     "Content-Length: 0\r\n")),
                      403);
    ck_assert_uint_eq(sample_status(sample_ask(sample, "POST /plugins/x",
                                               "Host: evil.example\r\nContent-Length: 0\r\n")),
                      403);
    ck_assert_uint_eq(sample_status(sample_ask(sample, "GET /plugins/x", LOCAL)), 405);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_plugins", without_plugins_the_page_is_empty, commands_need_a_place,
          commands_are_guarded_as_all_actions)
