#include "discovery/consul_look.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct told {
    char names[256];
};

static bool wants_web(void *arg, struct sluice_span service)
{
    (void)arg;
    return !span_equal(service, SPAN("unwanted"));
}

static void on_name(void *told_, struct sluice_span name)
{
    struct told *told = told_;
    size_t len = strlen(told->names);

    snprintf(told->names + len, sizeof(told->names) - len, "%.*s ", (int)name.len, name.ptr);
}

static struct consul_look *look_at(const char *json)
{
    struct consul_look *look = consul_look_new(wants_web, NULL);

    consul_look_add(look, span_of(json));
    ck_assert_int_eq(consul_look_end(look), OK);
    return look;
}

/* The services that differ between two lists. */
static void expect(const char *before, const char *after, const char *names)
{
    struct consul_look *one = look_at(before), *two = look_at(after);
    struct told told = {""};

    consul_look_compare(one, two, on_name, &told);
    ck_assert_str_eq(told.names, names);
    consul_look_free(&one);
    consul_look_free(&two);
}

#define CHECK_OF(node, service, index)                                                             \
    "{\"Node\":\"" node "\",\"ServiceName\":\"" service "\",\"ModifyIndex\":" index "}"

START_TEST(another_index_of_a_check_names_its_service)
{
    expect("[" CHECK_OF("n1", "web", "1") "," CHECK_OF("n1", "db", "1") "]",
           "[" CHECK_OF("n1", "web", "2") "," CHECK_OF("n1", "db", "1") "]", "web ");
}
END_TEST

START_TEST(the_order_does_not_matter)
{
    expect("[" CHECK_OF("n1", "web", "1") "," CHECK_OF("n2", "web", "7") "]",
           "[" CHECK_OF("n2", "web", "7") "," CHECK_OF("n1", "web", "1") "]", "");
}
END_TEST

START_TEST(services_that_come_and_go_are_named)
{
    expect("[" CHECK_OF("n1", "web", "1") "]", "[" CHECK_OF("n1", "db", "1") "]", "db web ");
}
END_TEST

START_TEST(what_nobody_wants_is_not_named)
{
    expect("[" CHECK_OF("n1", "unwanted", "1") "]", "[" CHECK_OF("n1", "unwanted", "2") "]", "");
}
END_TEST

START_TEST(a_check_of_a_node_names_all_that_run_on_it)
{
    expect("[" CHECK_OF("n1", "", "1") "," CHECK_OF("n1", "web", "1") "," CHECK_OF(
               "n2", "db", "1") "," CHECK_OF("n1", "mail", "1") "]",
           "[" CHECK_OF("n1", "web", "1") "," CHECK_OF("n2", "db", "1") "," CHECK_OF(
               "n1", "mail", "1") "," CHECK_OF("n1", "", "2") "]",
           "web mail ");
}
END_TEST

START_TEST(a_list_of_the_unwell_alone_needs_to_know_where_services_run)
{
    struct consul_look *before = look_at("[]"), *after = look_at("[" CHECK_OF("n1", "", "5") "]");
    struct consul_look *where = look_at("[" CHECK_OF("n2", "db", "1") "," CHECK_OF(
        "n1", "web", "1") "," CHECK_OF("n1", "", "5") "]");
    struct told told = {""};

    consul_look_compare(before, after, on_name, &told);
    ck_assert_str_eq(told.names, "");
    ck_assert(consul_look_nodes_differ(before, after));
    consul_look_compare_nodes(before, after, where, on_name, &told);
    consul_look_compare_nodes(after, before, where, on_name, &told); /* it is well again */
    ck_assert_str_eq(told.names, "web web ");
    ck_assert(consul_look_has(where, SPAN("db")) && !consul_look_has(after, SPAN("db")));
    consul_look_free(&before);
    consul_look_free(&after);
    consul_look_free(&where);
}
END_TEST

START_TEST(half_a_list_is_wrong)
{
    struct consul_look *look = consul_look_new(wants_web, NULL);

    consul_look_add(look, SPAN("[" CHECK_OF("n1", "web", "1")));
    ck_assert_int_eq(consul_look_end(look), ERR_PROTOCOL);
    consul_look_free(&look);
    consul_look_free(&look);
}
END_TEST

UNIT_MAIN("discovery/consul_look", another_index_of_a_check_names_its_service,
          the_order_does_not_matter, services_that_come_and_go_are_named,
          what_nobody_wants_is_not_named, a_check_of_a_node_names_all_that_run_on_it,
          a_list_of_the_unwell_alone_needs_to_know_where_services_run, half_a_list_is_wrong)
