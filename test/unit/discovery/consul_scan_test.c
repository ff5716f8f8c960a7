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

/* All of it, in pieces of so many bytes, each in memory of its own so that a read beyond shows. */
static enum err tell(struct sluice_span json, size_t size, struct seen *seen)
{
    struct consul_scan scan;
    enum err err;

    consul_scan_init(&scan, on_check, seen);
    for (size_t at = 0; at < json.len; at += size) {
        size_t n = json.len - at < size ? json.len - at : size;
        char *piece = malloc(n);

        memcpy(piece, json.ptr + at, n);
        consul_scan_add(&scan, span_make(piece, n));
        free(piece);
    }
    err = consul_scan_end(&scan);
    consul_scan_fini(&scan);
    return err;
}

static const char real[] =
    " [ {\"Node\": \"n1\", \"CheckID\": \"serfHealth\", \"Name\": \"Serf\", \"Status\": "
    "\"passing\","
    "\"Notes\": \"\", \"Output\": \"Agent \\\"alive\\\\\", \"ServiceID\": \"\", \"ServiceName\": "
    "\"\","
    "\"ServiceTags\": [], \"Definition\": {\"Interval\": \"0s\", \"Header\": {\"a\": [\"b\", 1]}},"
    "\"CreateIndex\": 4, \"ModifyIndex\": 17}, {\"Node\":\"n2\",\"ServiceName\":\"web\","
    "\"Definition\":{},\"x\":null,\"y\":-1.5e3,\"ModifyIndex\":99},{}]\n";

START_TEST(each_check_is_told_once_in_pieces_of_any_size)
{
    for (size_t size = 1; size <= sizeof(real); size++) {
        struct seen seen = {.n = 0};

        ck_assert_int_eq(tell(span_of(real), size, &seen), OK);
        ck_assert_str_eq(seen.text, "n1||17;n2|web|99;||0;");
    }
}
END_TEST

START_TEST(a_cut_list_is_wrong_at_every_place)
{
    size_t len = strlen(real) - 1; /* the newline may be missing */

    for (size_t i = 0; i < len; i++) {
        struct seen seen = {.n = 0};

        ck_assert_int_eq(tell(span_make(real, i), sizeof(real), &seen), ERR_PROTOCOL);
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
        ck_assert_msg(tell(span_of(wrong[i]), 64, &seen) == ERR_PROTOCOL, "%s", wrong[i]);
        ck_assert_msg(tell(span_of(wrong[i]), 1, &seen) == ERR_PROTOCOL, "%s", wrong[i]);
    }
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "[{\"a\":", 6);
    ck_assert_int_eq(tell(span_make(deep, sizeof(deep)), sizeof(deep), &seen), ERR_PROTOCOL);
}
END_TEST

START_TEST(what_does_not_end_is_wrong_at_its_limit)
{
    struct seen seen = {.n = 0};
    struct consul_scan scan;
    char piece[4096];

    memset(piece, 'x', sizeof(piece));
    consul_scan_init(&scan, on_check, &seen);
    consul_scan_add(&scan, SPAN("[{\"Output\":\""));
    for (size_t at = 0; at < 2 * CONSUL_CHECK_MAX; at += 64 * sizeof(piece))
        consul_scan_add(&scan, span_make(piece, sizeof(piece)));
    ck_assert(!scan.is_wrong);
    for (size_t at = 0; at < 2 * CONSUL_CHECK_MAX && !scan.is_wrong; at += sizeof(piece))
        consul_scan_add(&scan, span_make(piece, sizeof(piece)));
    ck_assert(scan.is_wrong);
    ck_assert_uint_le(scan.rest.len, CONSUL_CHECK_MAX);
    consul_scan_fini(&scan);
}
END_TEST

START_TEST(an_empty_list_is_fine)
{
    struct seen seen = {.n = 0};

    ck_assert_int_eq(tell(SPAN(" [ ] "), 2, &seen), OK);
    ck_assert_uint_eq(seen.n, 0);
}
END_TEST

UNIT_MAIN("discovery/consul_scan", each_check_is_told_once_in_pieces_of_any_size,
          a_cut_list_is_wrong_at_every_place, what_is_no_list_of_objects_is_wrong,
          what_does_not_end_is_wrong_at_its_limit, an_empty_list_is_fine)
