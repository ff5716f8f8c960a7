#include "discovery/resolver.h"

#include "core/loop.h"
#include "unit.h"

#include <string.h>

/* One question for SRV of "a.b", answered by two records and one that says "not here". */
static const char answer[] = "\x12\x34\x85\x80\x00\x01\x00\x03\x00\x00\x00\x00"
                             "\x01"
                             "a\x01"
                             "b\x00\x00\x21\x00\x01"
                             "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0a"
                             "\x00\x0a\x00\x05\x1f\x90\x01"
                             "x\xc0\x0e"
                             "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x1e\x00\x08"
                             "\x00\x14\x00\x00\x00\x50\xc0\x0e"
                             "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x07"
                             "\x00\x14\x00\x00\x00\x50\x00";

enum { ROOM = 8 };

START_TEST(srv_records_are_read_with_their_least_ttl)
{
    struct record record[ROOM];
    uint32_t ttl_s;
    size_t n;

    ck_assert_int_eq(
        resolver_read_srv(span_make(answer, sizeof(answer) - 1), record, ROOM, &n, &ttl_s), OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(ttl_s, 30);
    ck_assert_uint_eq(record[0].priority, 10);
    ck_assert_uint_eq(record[0].weight, 5);
    ck_assert_uint_eq(record[0].port, 8080);
    ck_assert_str_eq(record[0].target, "x.b");
    ck_assert_uint_eq(record[1].priority, 20);
    ck_assert_uint_eq(record[1].weight, 0);
    ck_assert_str_eq(record[1].target, "b");
}
END_TEST

START_TEST(no_more_are_read_than_there_is_room_for)
{
    struct record record[1];
    uint32_t ttl_s;
    size_t n;

    ck_assert_int_eq(
        resolver_read_srv(span_make(answer, sizeof(answer) - 1), record, 1, &n, &ttl_s), OK);
    ck_assert_uint_eq(n, 1);
}
END_TEST

/* Cut anywhere, or with any byte turned: an error or fewer records, never beyond the bytes. */
START_TEST(a_broken_message_is_an_error_or_says_less)
{
    struct record record[ROOM];
    char bytes[sizeof(answer) - 1];
    uint32_t ttl_s;
    size_t n;

    for (size_t len = 0; len < sizeof(bytes); len++) {
        char *cut = malloc(len + 1);

        memcpy(cut, answer, len);
        ck_assert_int_eq(resolver_read_srv(span_make(cut, len), record, ROOM, &n, &ttl_s),
                         ERR_PROTOCOL);
        free(cut);
    }
    for (size_t i = 0; i < sizeof(bytes) * 256; i++) {
        memcpy(bytes, answer, sizeof(bytes));
        bytes[i / 256] = (char)i;
        if (resolver_read_srv(span_make(bytes, sizeof(bytes)), record, ROOM, &n, &ttl_s) == OK)
            ck_assert_uint_le(n, ROOM);
    }
}
END_TEST

static void on_answer(void *text, const struct resolver_answer *said)
{
    char *out = text;

    ck_assert_int_eq(said->err, OK);
    ck_assert_uint_eq(said->n, 1);
    out[addr_format(&said->record[0].addr, out, ADDR_TEXT)] = '\0';
}

START_TEST(localhost_is_this_machine_and_nobody_is_asked)
{
    struct loop *loop = loop_new();
    struct resolver *resolver = resolver_new(loop, "127.0.0.1:9", 100);
    char text[ADDR_TEXT + 1] = "";
    struct question *question;

    ck_assert_ptr_null(resolver_ask(resolver, RESOLVER_A, "LocalHost", on_answer, text));
    ck_assert_str_eq(text, "127.0.0.1:0");
    ck_assert_ptr_null(resolver_ask(resolver, RESOLVER_AAAA, "a.localhost.", on_answer, text));
    ck_assert_str_eq(text, "[::1]:0");
    question = resolver_ask(resolver, RESOLVER_A, "notlocalhost", on_answer, text);
    ck_assert_ptr_nonnull(question);
    resolver_forget(&question);
    resolver_free(&resolver);
    loop_free(&loop);
}
END_TEST

UNIT_MAIN("discovery/resolver", srv_records_are_read_with_their_least_ttl,
          no_more_are_read_than_there_is_room_for, a_broken_message_is_an_error_or_says_less,
          localhost_is_this_machine_and_nobody_is_asked)
