#include "route_case.h"

#include "unit.h"

/* "name: value;" of each line that is left. */
static const char *left(struct route_case *it)
{
    struct text text;
    const char *copy;

    text_init(&text, 1024);
    for (unsigned i = 0; i < it->request.fields.n; i++) {
        const struct field_line *line = &it->lines[i];

        if (!(line->mark & FIELD_DROPPED))
            text_format(&text, "%.*s: %.*s;", (int)line->name_len, line->name, (int)line->value_len,
                        line->value);
    }
    copy = arena_copy(&it->arena, text_span(&text)).ptr;
    text_fini(&text);
    return copy;
}

START_TEST(removes_come_before_sets_before_adds)
{
    struct route_case it;

    case_open(&it, "routes: [ { upstream: app, request_fields: { add: { A: \"3\", n: \"4\" }, "
                   "set: { a: \"2\", s: \"1\" }, remove: [ a, X-R ] } } ]");
    ck_assert_msg(it.table != NULL, "%s", it.told.ptr);
    case_request(&it, "GET", "h", "/");
    case_field(&it, "a", "0");
    case_field(&it, "x-r", "0");
    case_field(&it, "S", "0");
    case_field(&it, "n", "0");
    ck_assert_int_eq(
        route_edit_fields(&route_table_get(it.table, 0)->request_edits, &it.request.fields), OK);
    ck_assert_str_eq(left(&it), "n: 0;a: 2;s: 1;A: 3;n: 4;");
    case_close(&it);
}
END_TEST

START_TEST(full_field_table_is_told)
{
    struct route_case it;

    case_open(&it, "routes: [ { upstream: app, response_fields: { add: { a: b } } } ]");
    case_request(&it, "GET", "h", "/");
    it.request.fields.cap = 0;
    ck_assert_int_eq(
        route_edit_fields(&route_table_get(it.table, 0)->response_edits, &it.request.fields),
        ERR_LIMIT);
    case_close(&it);
}
END_TEST

UNIT_MAIN("route/edits", removes_come_before_sets_before_adds, full_field_table_is_told)
