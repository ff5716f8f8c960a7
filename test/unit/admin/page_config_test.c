#include "sample.h"

#include <jansson.h>

/* The page as JSON; the caller has a reference. */
static json_t *config_of(struct sample *sample)
{
    const char *answer = sample_ask(sample, "GET /config", LOCAL);
    json_error_t error;
    json_t *json;

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/json\r\n"));
    json = json_loads(sample_body(answer), JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json != NULL, "%d: %s", error.line, error.text);
    return json;
}

START_TEST(config_says_where_it_comes_from)
{
    struct sample *sample = sample_new(false);
    json_t *json = config_of(sample);

    ck_assert_int_eq(json_integer_value(json_object_get(json, "generation")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(json, "file")), "/etc/\"odd\".yaml");
    ck_assert_str_eq(json_string_value(json_object_get(json, "loaded_at")),
                     "1970-01-01T00:00:01.500000Z");
    ck_assert(json_is_null(json_object_get(json, "last_reload")));
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(config_has_the_last_reload_with_its_notes)
{
    struct sample *sample = sample_new(false);
    json_t *json, *last;

    sample->last.wall_us = 2000000;
    text_reset(&sample->notes_json);
    text_add(&sample->notes_json, SPAN("[{\"message\":\"wrong\"}]"));
    json = config_of(sample);
    last = json_object_get(json, "last_reload");
    ck_assert_str_eq(json_string_value(json_object_get(last, "at")), "1970-01-01T00:00:02.000000Z");
    ck_assert(json_is_false(json_object_get(last, "ok")));
    ck_assert_uint_eq(json_array_size(json_object_get(last, "notes")), 1);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(config_keeps_the_kinds_of_values)
{
    struct sample *sample = sample_new(false);
    json_t *json, *config;
    char *printed;

    sample_config(sample,
                  "a: 8\nb: '8'\nc: 08\nd: true\ne: 'true'\nf: ~\ng: 10s\nh: -1\n"
                  "i: 99999999999999999999\nj: [1, [], {}]\nk: { l: \"a\\\"\\n\" }\nm: 0\n");
    json = config_of(sample);
    config = json_object_get(json, "config");
    printed = json_dumps(config, JSON_COMPACT | JSON_PRESERVE_ORDER);
    ck_assert_str_eq(printed,
                     "{\"a\":8,\"b\":\"8\",\"c\":\"08\",\"d\":true,\"e\":\"true\",\"f\":null,"
                     "\"g\":\"10s\",\"h\":\"-1\",\"i\":\"99999999999999999999\","
                     "\"j\":[1,[],{}],\"k\":{\"l\":\"a\\\"\\n\"},\"m\":0}");
    free(printed);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(config_hides_what_sounds_like_a_secret)
{
    struct sample *sample = sample_new(false);
    const char *answer;

    sample_config(
        sample,
        "consul: { token: hush-1, Token2: 'file:/run/hush-2' }\n"
        "redis: { Password: hush-3, user: seen-1 }\n"
        "tls: { private_keys: [ hush-4, { path: hush-5 } ] }\n"
        "routes:\n"
        "  - request_fields: { set: { authorization: hush-6, X-Api-Key: 1234567, x-auth: hush-0,\n"
        "                             x-plain: seen-2 } }\n"
        "    match: { fields: { cookie: { prefix: hush-7 } } }\n"
        "upstreams: { token-service: { endpoints: [ 'seen-3:80' ], api_secret: hush-8 } }\n"
        "list: { upstreams: { token: hush-9 } }\n");
    answer = sample_body(sample_ask(sample, "GET /config", LOCAL));
    ck_assert_ptr_null(strstr(answer, "hush"));
    ck_assert_ptr_null(strstr(answer, "1234567"));
    ck_assert_ptr_nonnull(strstr(answer, "\"token\": \"***\""));
    ck_assert_ptr_nonnull(strstr(answer, "seen-1"));
    ck_assert_ptr_nonnull(strstr(answer, "seen-2"));
    ck_assert_ptr_nonnull(strstr(answer, "seen-3"));
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_config", config_says_where_it_comes_from,
          config_has_the_last_reload_with_its_notes, config_keeps_the_kinds_of_values,
          config_hides_what_sounds_like_a_secret)
