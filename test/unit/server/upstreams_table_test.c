#include "server/upstreams_table.h"

#include "unit.h"

#include <string.h>

/* The table of this JSON, until the next call. */
static const char *table_of(const char *json, bool colour)
{
    static char bytes[16384];
    json_error_t error;
    json_t *whole = json_loads(json, 0, &error);
    struct text out;

    ck_assert_msg(whole != NULL, "%s", error.text);
    text_init_fixed(&out, bytes, sizeof(bytes));
    upstreams_table(whole, colour, &out);
    ck_assert(!out.cut);
    json_decref(whole);
    return bytes;
}

#define UPSTREAM(endpoints)                                                                        \
    "{\"upstreams\": [{\"name\": \"orders\", \"balance\": \"random\", "                            \
    "\"protocol\": \"h2c\", \"waiting\": 2, "                                                      \
    "\"retries\": 9, \"panic\": false, "                                                           \
    "\"retry_budget\": {\"interval_ms\": 10000, \"allowed\": 30, \"left\": 21}, "                  \
    "\"source\": {\"title\": \"consul orders\", \"version\": \"consul index 42\", "                \
    "\"state\": \"stale\", \"age_ms\": 61000, \"cause\": \"refused\"}, "                           \
    "\"endpoint_counts\": {\"all\": 2, \"healthy\": 1}, \"endpoints\": [" endpoints "]}]}"
#define REST                                                                                       \
    "\"weight\": 1, \"priority\": 0, \"connections\": {\"active\": 3, \"idle\": 4}, "              \
    "\"requests\": 5, \"failures\": 6"

static void shows(const char *endpoint, const char *words)
{
    char json[4096];
    const char *table;

    snprintf(json, sizeof(json), UPSTREAM("{\"address\": \"10.0.0.1:80\", %s, " REST "}"),
             endpoint);
    table = table_of(json, false);
    ck_assert_msg(strstr(table, words) != NULL, "no '%s' in\n%s", words, table);
}

START_TEST(an_upstream_is_told_of_above_its_endpoints)
{
    const char *table =
        table_of(UPSTREAM("{\"address\": \"a:1\", \"state\": \"serving\", \"latency_us\": 1500, "
                          "\"zone\": \"z1\", " REST "}"),
                 false);

    ck_assert_str_eq(table,
                     "orders  random, h2c, 1 of 2 endpoints healthy\n"
                     "  source: consul orders, consul index 42, stale, confirmed 61s ago: refused\n"
                     "  retry budget: 21 of 30 left in 10s; retries: 9; waiting: 2\n"
                     "  ENDPOINT  STATE    WEIGHT  PRIORITY  ZONE  ACTIVE  IDLE  REQUESTS  FAILURES"
                     "  LATENCY\n"
                     "  a:1       serving       1         0  z1         3     4         5         6"
                     "    1.5ms\n");
}
END_TEST

START_TEST(columns_without_anything_are_left_out)
{
    const char *table =
        table_of(UPSTREAM("{\"address\": \"a:1\", \"state\": \"serving\", " REST "}"), false);

    ck_assert_ptr_null(strstr(table, "ZONE"));
    ck_assert_ptr_null(strstr(table, "LATENCY"));
    ck_assert_ptr_null(strstr(table, "WHY"));
}
END_TEST

START_TEST(the_state_is_what_matters_most)
{
    shows("\"state\": \"serving\", \"healthy\": true", "10.0.0.1:80  serving  ");
    shows("\"state\": \"warning\", \"healthy\": true", "  warning  ");
    shows("\"state\": \"draining\", \"healthy\": false", "  draining  ");
    shows("\"state\": \"failing\", \"healthy\": true", "  failing  ");
    shows("\"state\": \"serving\", \"healthy\": true, \"slow_start_left_ms\": 8000",
          "  slow start 8s  ");
    shows("\"state\": \"serving\", \"healthy\": false", "  unhealthy  ");
    shows("\"state\": \"serving\", \"healthy\": false, \"ejected\": {\"cause\": "
          "\"consecutive_5xx\", \"left_ms\": 12345, \"times\": 3}",
          "  ejected 12s  ");
}
END_TEST

START_TEST(the_reason_stands_at_the_end)
{
    shows("\"state\": \"serving\", \"healthy\": false, \"ejected\": {\"cause\": "
          "\"consecutive_5xx\", \"left_ms\": 12345, \"times\": 3}",
          "  consecutive_5xx, 3 times\n");
    shows("\"state\": \"serving\", \"healthy\": false, \"check\": {\"state\": \"failing\", "
          "\"last\": \"status\", \"cause\": \"answered 503\"}",
          "  check status: answered 503\n");
    shows("\"state\": \"serving\", \"check\": {\"state\": \"unknown\"}", "  check is to come\n");
}
END_TEST

START_TEST(nothing_in_it_steers_the_terminal)
{
    const char *table = table_of(
        UPSTREAM("{\"address\": \"a\\u001b[2J\\u009b\\u007f\\nb\", \"state\": \"\\rno\", "
                 "\"zone\": \"\\u001b]0;x\\u0007\", \"check\": {\"cause\": \"\\u001b\"}, " REST
                 "}"),
        false);

    for (const char *at = table; *at; at++)
        ck_assert(*at == '\n' || ((unsigned char)*at >= ' ' && *at != 0x7f));
    ck_assert_ptr_null(strstr(table, "\xc2\x9b"));
    ck_assert_ptr_nonnull(strstr(table, "a?[2J???b"));
}
END_TEST

START_TEST(colour_changes_nothing_but_colour)
{
    static const char json[] = UPSTREAM("{\"address\": \"a:1\", \"state\": \"serving\", " REST "}, "
                                        "{\"address\": \"b:1\", \"state\": \"failing\", " REST "}");
    char plain[4096], bare[4096];
    const char *coloured;
    size_t n = 0;

    snprintf(plain, sizeof(plain), "%s", table_of(json, false));
    coloured = table_of(json, true);
    ck_assert_ptr_nonnull(strstr(coloured, "\033[32mserving\033[0m"));
    for (const char *at = coloured; *at; at++) {
        if (*at == '\033') {
            at = strchr(at, 'm');
        } else {
            bare[n++] = *at;
        }
    }
    bare[n] = 0;
    ck_assert_str_eq(bare, plain);
}
END_TEST

START_TEST(no_upstreams_are_said_in_words)
{
    ck_assert_str_eq(table_of("{\"upstreams\": []}", false), "There are no upstreams.\n");
}
END_TEST

UNIT_MAIN("server/upstreams_table", an_upstream_is_told_of_above_its_endpoints,
          columns_without_anything_are_left_out, the_state_is_what_matters_most,
          the_reason_stands_at_the_end, nothing_in_it_steers_the_terminal,
          colour_changes_nothing_but_colour, no_upstreams_are_said_in_words)
