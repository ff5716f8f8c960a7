#include "proxy/reason.h"

#include "unit.h"

#include <string.h>

START_TEST(every_reason_has_a_name_of_its_own)
{
    for (int i = REASON_NONE; i < REASON_COUNT; i++) {
        ck_assert_ptr_nonnull(reason_name((enum reason)i));
        ck_assert_uint_gt(strlen(reason_name((enum reason)i)), 0);
        ck_assert_uint_eq(strspn(reason_name((enum reason)i), "abcdefghijklmnopqrstuvwxyz_"),
                          strlen(reason_name((enum reason)i)));
        for (int j = REASON_NONE; j < i; j++) {
            ck_assert_str_ne(reason_name((enum reason)i), reason_name((enum reason)j));
        }
    }
}
END_TEST

START_TEST(who_is_answered_is_told_why)
{
    for (int i = REASON_NONE; i < REASON_COUNT; i++) {
        unsigned status = reason_status((enum reason)i);

        ck_assert(status == 0 || (status >= 400 && status <= 599));
        ck_assert_ptr_nonnull(reason_text((enum reason)i));
        ck_assert_int_eq(status != 0, strlen(reason_text((enum reason)i)) > 0);
        ck_assert_ptr_null(strpbrk(reason_text((enum reason)i), "\"\\\n"));
    }
}
END_TEST

START_TEST(statuses_are_those_of_the_specification)
{
    static const struct {
        const char *name;
        unsigned status;
    } rows[] = {
        {"completed", 0},
        {"responded", 0},
        {"redirected", 0},
        {"bad_request", 400},
        {"target_too_long", 414},
        {"head_too_large", 431},
        {"version_unsupported", 505},
        {"body_too_large", 413},
        {"head_timeout", 408},
        {"body_timeout", 408},
        {"not_found", 404},
        {"method_not_allowed", 405},
        {"no_endpoint", 503},
        {"upstream_full", 503},
        {"queue_timeout", 503},
        {"connect_failed", 502},
        {"connect_timeout", 504},
        {"upstream_reset", 502},
        {"upstream_closed", 502},
        {"upstream_protocol", 502},
        {"response_timeout", 504},
        {"total_timeout", 504},
        {"tunnel_timeout", 0},
        {"tunnel_drained", 0},
        {"operator_closed", 0},
        {"client_closed", 0},
        {"client_reset", 0},
        {"write_timeout", 0},
        {"tunnel_unsupported", 501},
        {"overload", 503},
        {"draining", 503},
        {"internal", 500},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int found = 0;

        for (int j = REASON_NONE; j < REASON_COUNT; j++) {
            if (strcmp(reason_name((enum reason)j), rows[i].name) != 0)
                continue;
            found++;
            ck_assert_uint_eq(reason_status((enum reason)j), rows[i].status);
        }
        ck_assert_msg(found == 1, "%s", rows[i].name);
    }
}
END_TEST

UNIT_MAIN("proxy/reason", every_reason_has_a_name_of_its_own, who_is_answered_is_told_why,
          statuses_are_those_of_the_specification)
