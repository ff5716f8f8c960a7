#include "config/json.h"

#include "unit.h"

START_TEST(json_is_indented_and_rows_are_not)
{
    struct text out;
    struct json json = {.out = &out};

    text_init(&out, 1000);
    json_open(&json, NULL, '{');
    json_string(&json, "a\"b", SPAN("c\\d"));
    json_number(&json, "n", 7);
    json_open(&json, "list", '[');
    json_literal(&json, NULL, SPAN("true"));
    json_close(&json, ']');
    json_open_row(&json, "row", '[');
    json_number(&json, NULL, 1);
    json_open(&json, NULL, '{');
    json_number(&json, "x", 2);
    json_close(&json, '}');
    json_close(&json, ']');
    json_open(&json, "none", '{');
    json_close(&json, '}');
    json_number(&json, "end", 0);
    json_close(&json, '}');
    ck_assert_str_eq(out.ptr, "{\n"
                              "  \"a\\\"b\": \"c\\\\d\",\n"
                              "  \"n\": 7,\n"
                              "  \"list\": [\n"
                              "    true\n"
                              "  ],\n"
                              "  \"row\": [ 1, { \"x\": 2 } ],\n"
                              "  \"none\": {},\n"
                              "  \"end\": 0\n"
                              "}");
    text_fini(&out);
}
END_TEST

UNIT_MAIN("config/json", json_is_indented_and_rows_are_not)
