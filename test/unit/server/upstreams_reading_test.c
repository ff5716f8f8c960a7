#include "server/upstreams_reading.h"

#include "unit.h"

static uint64_t add(json_t *whole, const char *text)
{
    json_t *page = json_loads(text, 0, NULL);
    uint64_t next;

    ck_assert_ptr_nonnull(page);
    next = upstreams_reading_add(whole, page);
    json_decref(page);
    return next;
}

START_TEST(an_upstream_cut_by_a_page_becomes_one)
{
    json_t *whole = json_object();
    const json_t *all, *first;

    ck_assert_uint_eq(add(whole, "{\"generation\": 3, \"next\": 2, \"upstreams\": ["
                                 "{\"name\": \"a\", \"endpoints\": [1, 2]}]}"),
                      2);
    ck_assert_uint_eq(add(whole, "{\"generation\": 4, \"upstreams\": ["
                                 "{\"name\": \"a\", \"endpoints\": [3]},"
                                 "{\"name\": \"b\", \"endpoints\": []}]}"),
                      0);
    all = json_object_get(whole, "upstreams");
    ck_assert_uint_eq(json_array_size(all), 2);
    first = json_object_get(json_array_get(all, 0), "endpoints");
    ck_assert_uint_eq(json_array_size(first), 3);
    ck_assert_int_eq(json_integer_value(json_array_get(first, 2)), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(whole, "generation")), 4);
    json_decref(whole);
}
END_TEST

START_TEST(what_is_no_page_adds_nothing)
{
    static const char *const pages[] = {"{}", "[]", "{\"upstreams\": 3, \"next\": -1}",
                                        "{\"upstreams\": [], \"next\": \"2\"}"};

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        json_t *whole = json_object();

        ck_assert_uint_eq(add(whole, pages[i]), 0);
        ck_assert_uint_eq(json_array_size(json_object_get(whole, "upstreams")), 0);
        json_decref(whole);
    }
}
END_TEST

UNIT_MAIN("server/upstreams_reading", an_upstream_cut_by_a_page_becomes_one,
          what_is_no_page_adds_nothing)
