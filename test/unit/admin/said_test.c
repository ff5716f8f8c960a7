#include "admin/said.h"

#include "unit.h"

START_TEST(one_value_is_json)
{
    ck_assert(said_is_json(SPAN("{\"a\": [1, 2.5, null]}")));
    ck_assert(said_is_json(SPAN("7")));
    ck_assert(!said_is_json(SPAN("")));
    ck_assert(!said_is_json(SPAN("{} {}")));
    ck_assert(!said_is_json(SPAN("{\"a\":")));
    ck_assert(!said_is_json(SPAN("}, \"injected\": {")));
    ck_assert(!said_is_json(SPAN("\"\xff\"")));
}
END_TEST

START_TEST(a_member_error_refuses)
{
    ck_assert(said_is_refusal(SPAN("{\"error\": \"write: open NAME\"}")));
    ck_assert(!said_is_refusal(SPAN("{\"errors\": 0}")));
    ck_assert(!said_is_refusal(SPAN("\"error\"")));
    ck_assert(!said_is_refusal(SPAN("")));
}
END_TEST

UNIT_MAIN("admin/said", one_value_is_json, a_member_error_refuses)
