#include "unit.h"

#include "sluice_test.h"

#include <string.h>

static struct sluice_exchange *request(struct sluice_test *test)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/p");

    sluice_test_field_add(ex, SLUICE_REQUEST, "X-Old", "1");
    sluice_test_field_add(ex, SLUICE_REQUEST, "x-old", "2");
    sluice_test_field_add(ex, SLUICE_REQUEST, "X-Internal-A", "a");
    sluice_test_field_add(ex, SLUICE_REQUEST, "x-internal-b", "b");
    sluice_test_field_add(ex, SLUICE_REQUEST, "X-Inter", "c");
    return ex;
}

static const char *field(struct sluice_exchange *ex, const char *name)
{
    return sluice_test_field(ex, SLUICE_REQUEST, name);
}

START_TEST(fields_are_removed_by_name_and_beginning)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "request.remove=[x-internal-*, X-OLD, x-none]", NULL);
    struct sluice_exchange *ex = request(test);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(field(ex, "x-old"));
    ck_assert_ptr_null(field(ex, "x-internal-a"));
    ck_assert_ptr_null(field(ex, "x-internal-b"));
    ck_assert_str_eq(field(ex, "x-inter"), "c");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_renamed_field_keeps_its_lines)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "request.rename={x-old: x-new, x-inter: x-internal-a, x-no: x-nope}", NULL);
    struct sluice_exchange *ex = request(test);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(field(ex, "x-old"));
    ck_assert_str_eq(field(ex, "x-new"), "1");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-new"), 2);
    ck_assert_str_eq(field(ex, "x-internal-a"), "c");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-internal-a"), 1);
    ck_assert_ptr_null(field(ex, "x-nope"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(values_are_templates)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin,
        "request={set: {x-old: 'of ${client.address}', "
        "x-user: '${consumer.name:-anyone}'}, add: {x-inter: '${request.path}'}}",
        NULL);
    struct sluice_exchange *ex = request(test);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(field(ex, "x-old"), "of 192.0.2.1");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-old"), 1);
    ck_assert_str_eq(field(ex, "x-user"), "anyone");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-inter"), 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(replace_and_default_look_first)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "request.replace={x-old: new, x-none: new}",
                            "request.default={x-inter: new, x-other: new}", NULL);
    struct sluice_exchange *ex = request(test);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(field(ex, "x-old"), "new");
    ck_assert_ptr_null(field(ex, "x-none"));
    ck_assert_str_eq(field(ex, "x-inter"), "c");
    ck_assert_str_eq(field(ex, "x-other"), "new");
    sluice_test_free(&test);
}
END_TEST

START_TEST(nothing_set_takes_what_the_client_sent_away)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "request.set={x-old: '${consumer.name}'}",
                            "request.add={x-inter: '${consumer.name}'}", NULL);
    struct sluice_exchange *ex = request(test);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(field(ex, "x-old"));
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-inter"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(each_attempt_gets_its_own)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "attempt.set={x-endpoint: '${upstream} ${endpoint}'}", NULL);
    struct sluice_exchange *ex = request(test);

    sluice_test_request_head(ex);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9001"), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "x-endpoint"), "orders 127.0.0.1:9001");
    sluice_test_attempt_done(ex, 0, "connect_refused", true);
    ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:9002"), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_ATTEMPT, "x-endpoint"), "orders 127.0.0.1:9002");
    ck_assert_ptr_null(field(ex, "x-endpoint"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(responses_change_by_status)
{
    static const struct {
        uint32_t status;
        bool is_meant;
    } cases[] = {{404, true}, {400, false}, {500, true}, {599, true}, {200, false}};
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "response={remove: [server], set: {x-s: '${response.status}'}}",
        "statuses=[404, 5xx]", NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_exchange *ex = request(test);

        sluice_test_request_head(ex);
        sluice_test_field_add(ex, SLUICE_RESPONSE, "Server", "x/1");
        ck_assert_int_eq(sluice_test_response_head(ex, cases[i].status), SLUICE_NEXT);
        ck_assert_int_eq(sluice_test_field(ex, SLUICE_RESPONSE, "server") == NULL,
                         cases[i].is_meant);
        ck_assert_int_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-s") != NULL, cases[i].is_meant);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(bad_names_are_refused)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    const char *errors;

    sluice_test_set(test, "request={set: {'bad name': a, Connection: close}, remove: ['*']}");
    sluice_test_set(test, "response.rename={server: 'a:b'}");
    sluice_test_set(test, "statuses=[6xx, 20]");
    ck_assert(!sluice_test_check(test));
    errors = sluice_test_errors(test);
    ck_assert_ptr_nonnull(strstr(errors, "request.set.bad name: it is not a field name"));
    ck_assert_ptr_nonnull(strstr(errors, "request.set.Connection: the gateway itself"));
    ck_assert_ptr_nonnull(strstr(errors, "response.rename.a:b: it is not"));
    ck_assert_ptr_nonnull(strstr(errors, "statuses[0]: it is not a status"));
    ck_assert_ptr_nonnull(strstr(errors, "statuses[1]"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_value_that_cannot_be_written_fails)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "request.set={x-a: '${consumer.name}'}", NULL);
    struct sluice_exchange *ex = request(test);

    sluice_test_attribute_set(ex, "consumer.name", "a\r\nx-evil: 1");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_FAIL);
    ck_assert_str_eq(sluice_test_notes(ex), "headers_failed");
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_memory_it_fails_and_does_not_crash)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin,
                            "request={remove: [x-internal-*], rename: {x-old: x-new}, "
                            "set: {x-a: '${request.path}'}, add: {x-b: b}, default: {x-c: c}}",
                            NULL);
    uint64_t n = 0;

    do {
        struct sluice_exchange *ex = request(test);

        sluice_test_fail_nth(test, ++n);
        ck_assert_int_eq(sluice_test_request_head(ex) == SLUICE_FAIL, sluice_test_has_failed(test));
        sluice_test_done(ex, false);
    } while (sluice_test_has_failed(test));
    ck_assert_uint_gt(n, 10);
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/headers", fields_are_removed_by_name_and_beginning,
          a_renamed_field_keeps_its_lines, values_are_templates, replace_and_default_look_first,
          nothing_set_takes_what_the_client_sent_away, each_attempt_gets_its_own,
          responses_change_by_status, bad_names_are_refused, a_value_that_cannot_be_written_fails,
          without_memory_it_fails_and_does_not_crash)
