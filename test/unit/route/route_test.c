#include "route_case.h"

#include "unit.h"

START_TEST(split_follows_the_weights)
{
    struct route_case it;
    const struct route *route;
    unsigned counts[3] = {0, 0, 0};

    case_open(&it, "routes: [ { split: [ { upstream: app, weight: 95 }, { upstream: spare, weight: "
                   "0 }, { upstream: canary, weight: 5 } ] } ]");
    route = route_table_get(it.table, 0);
    for (uint64_t random = 0; random < 1000; random++)
        counts[route_pick(route, random)->index]++;
    ck_assert_uint_eq(counts[0], 950);
    ck_assert_uint_eq(counts[1], 50);
    ck_assert_uint_eq(counts[2], 0);
    ck_assert_ptr_nonnull(route_pick(route, UINT64_MAX));
    case_close(&it);
}
END_TEST

START_TEST(route_without_upstream_picks_none)
{
    struct route_case it;

    case_open(&it, "routes: [ { echo: true } ]");
    ck_assert_int_eq(route_table_get(it.table, 0)->action, ROUTE_ECHO);
    ck_assert_ptr_null(route_pick(route_table_get(it.table, 0), 1));
    case_close(&it);
}
END_TEST

START_TEST(no_methods_print_as_nothing)
{
    struct text text;

    text_init(&text, 64);
    route_methods_print(0, &text);
    ck_assert_uint_eq(text.len, 0);
    route_methods_print(1U << METHOD_PATCH | 1U << METHOD_GET, &text);
    ck_assert_str_eq(text.ptr, "GET, PATCH");
    text_fini(&text);
}
END_TEST

UNIT_MAIN("route/route", split_follows_the_weights, route_without_upstream_picks_none,
          no_methods_print_as_nothing)
