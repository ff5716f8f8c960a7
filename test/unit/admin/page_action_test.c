#include "base/log.h"
#include "sample.h"

#include <jansson.h>

#define EMPTY LOCAL "Content-Length: 0\r\n"

START_TEST(reload_tells_the_new_generation)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "POST /reload", EMPTY);
    json_t *json = json_loads(sample_body(answer), 0, NULL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_uint_eq(sample->reloads, 1);
    ck_assert(json_is_true(json_object_get(json, "ok")));
    ck_assert_int_eq(json_integer_value(json_object_get(json, "generation")), 4);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "notes")), 0);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(refused_reload_tells_why_in_full)
{
    struct sample *sample = sample_new(false);
    const char *answer;
    json_t *json;

    sample->applies = false;
    text_reset(&sample->notes_json);
    text_add(&sample->notes_json, SPAN("[{\"line\":4},{\"line\":9}]"));
    text_add(&sample->notes_text, SPAN("a.yaml:4:1: error: \"x\"\n   ^\n"));
    answer = sample_ask(sample, "POST /reload", EMPTY);
    json = json_loads(sample_body(answer), 0, NULL);
    ck_assert_uint_eq(sample_status(answer), 422);
    ck_assert(json_is_false(json_object_get(json, "ok")));
    ck_assert_int_eq(json_integer_value(json_object_get(json, "generation")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "notes")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json, "text")), sample->notes_text.ptr);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

START_TEST(drain_is_asked_for_once_and_answered)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "POST /drain", EMPTY);

    ck_assert_uint_eq(sample_status(answer), 202);
    ck_assert_uint_eq(sample->drains, 1);
    sample_free(&sample);
}
END_TEST

static char last_line[500];

static void keep_line(void *arg, struct sluice_span line)
{
    (void)arg;
    snprintf(last_line, sizeof(last_line), "%.*s", (int)line.len, line.ptr);
}

START_TEST(log_level_is_set_and_the_form_kept)
{
    struct sample *sample = sample_new(false);
    const char *answer;

    log_set_sink(keep_line, NULL);
    log_set(LOG_INFO, LOG_JSON);
    sample_config(sample, "log: { level: info, format: json }\nroutes: []\n");
    answer = sample_ask(sample, "PUT /log?x=level&level=debug", EMPTY);
    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_str_eq(sample_body(answer), "{ \"level\": \"debug\" }\n");
    ck_assert_int_eq(log_level(), LOG_DEBUG);
    ck_assert_int_eq(last_line[0], '{');
    sample_config(sample, "log: { level: info }\nroutes: []\n");
    sample_ask(sample, "PUT /log?level=info", EMPTY);
    ck_assert_int_eq(log_level(), LOG_INFO);
    ck_assert_int_ne(last_line[0], '{');
    sample_free(&sample);
}
END_TEST

START_TEST(unknown_log_level_changes_nothing)
{
    static const char *const asks[] = {
        "PUT /log",       "PUT /log?",       "PUT /log?level=loud",
        "PUT /log?level", "PUT /log?level=", "PUT /log?xlevel=debug"};
    struct sample *sample = sample_new(false);

    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        const char *answer = sample_ask(sample, asks[i], EMPTY);

        ck_assert_uint_eq(sample_status(answer), 422);
        ck_assert_ptr_nonnull(strstr(answer, "application/problem+json"));
    }
    ck_assert_int_eq(log_level(), LOG_INFO);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_action", reload_tells_the_new_generation, refused_reload_tells_why_in_full,
          drain_is_asked_for_once_and_answered, log_level_is_set_and_the_form_kept,
          unknown_log_level_changes_nothing)
