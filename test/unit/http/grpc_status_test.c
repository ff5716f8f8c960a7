#include "http/grpc_status.h"

#include "unit.h"

#include <string.h>

START_TEST(http_statuses_mean_what_clients_take_them_for)
{
    static const struct {
        unsigned http;
        enum grpc_status status;
    } cases[] = {
        {400, GRPC_INTERNAL},      {401, GRPC_UNAUTHENTICATED}, {403, GRPC_PERMISSION_DENIED},
        {404, GRPC_UNIMPLEMENTED}, {429, GRPC_UNAVAILABLE},     {502, GRPC_UNAVAILABLE},
        {503, GRPC_UNAVAILABLE},   {504, GRPC_UNAVAILABLE},     {500, GRPC_UNKNOWN},
        {301, GRPC_UNKNOWN},       {413, GRPC_UNKNOWN},         {200, GRPC_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(grpc_status_of_http(cases[i].http) == cases[i].status, "%u", cases[i].http);
}
END_TEST

START_TEST(statuses_say_what_they_are_in_http)
{
    ck_assert_uint_eq(grpc_status_http(GRPC_OK), 200);
    ck_assert_uint_eq(grpc_status_http(GRPC_UNAVAILABLE), 503);
    ck_assert_uint_eq(grpc_status_http(GRPC_DEADLINE_EXCEEDED), 504);
    ck_assert_uint_eq(grpc_status_http(GRPC_UNAUTHENTICATED), 401);
    ck_assert_str_eq(grpc_status_name(GRPC_RESOURCE_EXHAUSTED), "resource_exhausted");
    ck_assert_str_eq(grpc_status_name((enum grpc_status)16), "unauthenticated");
}
END_TEST

START_TEST(resets_mean_what_clients_take_them_for)
{
    static const enum grpc_status statuses[] = {
        [0] = GRPC_INTERNAL,           [1] = GRPC_INTERNAL,  [2] = GRPC_INTERNAL,
        [7] = GRPC_UNAVAILABLE,        [8] = GRPC_CANCELLED, [11] = GRPC_RESOURCE_EXHAUSTED,
        [12] = GRPC_PERMISSION_DENIED, [13] = GRPC_INTERNAL,
    };

    for (uint32_t code = 0; code <= 13; code++) {
        enum grpc_status status = statuses[code] ? statuses[code] : GRPC_INTERNAL;

        ck_assert_msg(grpc_status_of_reset(code) == status, "%u", code);
    }
    ck_assert_uint_eq(grpc_status_of_reset(UINT32_MAX), GRPC_INTERNAL);
}
END_TEST

START_TEST(the_field_is_read_strictly)
{
    static const struct {
        const char *value, *second;
        enum err err;
        int status;
    } cases[] = {
        {"0", NULL, OK, 0},
        {"16", NULL, OK, 16},
        {NULL, NULL, ERR_MISSING, 0},
        {"17", NULL, ERR_PROTOCOL, 0},
        {"", NULL, ERR_PROTOCOL, 0},
        {"-1", NULL, ERR_PROTOCOL, 0},
        {"1 ", NULL, ERR_PROTOCOL, 0},
        {"0", "14", ERR_PROTOCOL, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct field_line lines[2];
        struct fields fields = {.line = lines, .cap = 2};
        enum grpc_status status = GRPC_UNKNOWN;

        if (cases[i].value) {
            ck_assert_int_eq(fields_add(&fields, SPAN("Grpc-Status"), span_of(cases[i].value)), OK);
        }
        if (cases[i].second) {
            ck_assert_int_eq(fields_add(&fields, SPAN("grpc-status"), span_of(cases[i].second)),
                             OK);
        }
        ck_assert_int_eq(grpc_status_find(&fields, &status), cases[i].err);
        if (cases[i].err == OK)
            ck_assert_int_eq((int)status, cases[i].status);
    }
}
END_TEST

START_TEST(a_message_keeps_to_what_a_field_may_hold)
{
    char bytes[64];
    struct text text;

    text_init_fixed(&text, bytes, sizeof(bytes));
    grpc_message_write(SPAN("50% of a \"b\"\r\n\xc3\xa4"), &text);
    ck_assert(span_equal(text_span(&text), SPAN("50%25 of a \"b\"%0D%0A%C3%A4")));
}
END_TEST

UNIT_MAIN("http/grpc_status", http_statuses_mean_what_clients_take_them_for,
          resets_mean_what_clients_take_them_for, statuses_say_what_they_are_in_http,
          the_field_is_read_strictly, a_message_keeps_to_what_a_field_may_hold)
