#include "discovery/consul_scan.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    unsigned n;
    char text[512];
};

static void on_check(void *seen_, const struct consul_check *check)
{
    struct seen *seen = seen_;
    size_t len = strlen(seen->text);

    seen->n++;
    snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s|%.*s|%llu;", (int)check->node.len,
             check->node.ptr, (int)check->service.len, check->service.ptr,
             (unsigned long long)check->modified);
}

static const char real[] =
    " [ {\"Node\": \"n1\", \"CheckID\": \"serfHealth\", \"Name\": \"Serf\", \"Status\": "
    "\"passing\","
    "\"Notes\": \"\", \"Output\": \"Agent \\\"alive\\\\\", \"ServiceID\": \"\", \"ServiceName\": "
    "\"\","
    "\"ServiceTags\": [], \"Definition\": {\"Interval\": \"0s\", \"Header\": {\"a\": [\"b\", 1]}},"
    "\"CreateIndex\": 4, \"ModifyIndex\": 17}, {\"Node\":\"n2\",\"ServiceName\":\"web\","
    "\"Definition\":{},\"x\":null,\"y\":-1.5e3,\"ModifyIndex\":99},{}]\n";

START_TEST(each_check_is_told_with_what_matters)
{
    struct seen seen = {.n = 0};

    ck_assert_int_eq(consul_scan(span_of(real), on_check, &seen), OK);
    ck_assert_str_eq(seen.text, "n1||17;n2|web|99;||0;");
}
END_TEST

START_TEST(a_cut_list_is_wrong_at_every_place)
{
    size_t len = strlen(real) - 1; /* the newline may be missing */

    for (size_t i = 0; i < len; i++) {
        char *part = malloc(i + 1); /* of its own, so that a read beyond shows */
        struct seen seen = {.n = 0};

        memcpy(part, real, i);
        ck_assert_int_eq(consul_scan(span_make(part, i), on_check, &seen), ERR_PROTOCOL);
        free(part);
    }
}
END_TEST

START_TEST(what_is_no_list_of_objects_is_wrong)
{
    const char *const wrong[] = {"",
                                 "{}",
                                 "[",
                                 "[1]",
                                 "[{}",
                                 "[{}]x",
                                 "[{},]",
                                 "[{\"a\"}]",
                                 "[{\"a\":}]",
                                 "[{\"a\":1,}]",
                                 "[{\"a\":]}]",
                                 "null",
                                 "[{\"a\":\"b]"};
    struct seen seen = {.n = 0};
    char deep[256];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(consul_scan(span_of(wrong[i]), on_check, &seen) == ERR_PROTOCOL, "%s",
                      wrong[i]);
    }
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "[{\"a\":", 6);
    ck_assert_int_eq(consul_scan(span_make(deep, sizeof(deep)), on_check, &seen), ERR_PROTOCOL);
}
END_TEST

START_TEST(an_empty_list_is_fine)
{
    struct seen seen = {.n = 0};

    ck_assert_int_eq(consul_scan(SPAN(" [ ] "), on_check, &seen), OK);
    ck_assert_uint_eq(seen.n, 0);
}
END_TEST

UNIT_MAIN("discovery/consul_scan", each_check_is_told_with_what_matters,
          a_cut_list_is_wrong_at_every_place, what_is_no_list_of_objects_is_wrong,
          an_empty_list_is_fine)
