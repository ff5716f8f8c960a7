#include "net/resp.h"

#include "unit.h"

#include <string.h>

/* All pieces that end before the last byte say that more must come. */
static size_t whole(const char *text, size_t len)
{
    struct resp_scan slow = {0};
    size_t length = 0;

    for (size_t n = 0; n < len; n++) {
        struct resp_scan fast = {0};

        ck_assert_int_eq(resp_scan(&slow, span_make(text, n), &length), ERR_AGAIN);
        ck_assert_int_eq(resp_scan(&fast, span_make(text, n), &length), ERR_AGAIN);
    }
    ck_assert_int_eq(resp_scan(&slow, span_make(text, len), &length), OK);
    ck_assert_uint_eq(length, len);
    return length;
}

static const struct sluice_redis_reply *reply_of(const char *text, size_t len)
{
    static struct sluice_redis_reply element[RESP_ELEMENTS];

    resp_build(span_make(text, whole(text, len)), element);
    return element;
}

/* An element that is there. */
static const struct sluice_redis_reply *at(const struct sluice_redis_reply *reply, size_t i)
{
    static const struct sluice_redis_reply none;
    const struct sluice_redis_reply *element = sluice_redis_at(reply, i);

    ck_assert_ptr_nonnull(element);
    return element ? element : &none;
}

#define REPLY(literal) reply_of(literal, sizeof(literal) - 1)

static bool is_text(const struct sluice_redis_reply *reply, uint32_t kind, const char *text)
{
    return reply && reply->kind == kind && span_equal(reply->text, span_of(text));
}

START_TEST(replies_of_each_kind)
{
    ck_assert(is_text(REPLY("+OK\r\n"), SLUICE_REDIS_STATUS, "OK"));
    ck_assert(is_text(REPLY("-ERR no\r\n"), SLUICE_REDIS_ERROR, "ERR no"));
    ck_assert(is_text(REPLY("$0\r\n\r\n"), SLUICE_REDIS_TEXT, ""));
    ck_assert(is_text(REPLY("$4\r\na\r\nb\r\n"), SLUICE_REDIS_TEXT, "a\r\nb"));
    ck_assert_int_eq(REPLY(":42\r\n")->integer, 42);
    ck_assert_int_eq(REPLY(":-9223372036854775808\r\n")->integer, INT64_MIN);
    ck_assert_uint_eq(REPLY("$-1\r\n")->kind, SLUICE_REDIS_NIL);
    ck_assert_uint_eq(REPLY("*-1\r\n")->kind, SLUICE_REDIS_NIL);
    ck_assert_uint_eq(REPLY("*0\r\n")->kind, SLUICE_REDIS_LIST);
}
END_TEST

START_TEST(lists_hold_lists)
{
    const struct sluice_redis_reply *reply =
        REPLY("*4\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n+x\r\n*0\r\n$-1\r\n");

    ck_assert_uint_eq(reply->n, 4);
    ck_assert_int_eq(at(reply, 0)->integer, 1);
    ck_assert(is_text(at(at(reply, 1), 0), SLUICE_REDIS_TEXT, "a"));
    ck_assert(is_text(at(at(at(reply, 1), 1), 0), SLUICE_REDIS_STATUS, "x"));
    ck_assert_uint_eq(at(reply, 2)->n, 0);
    ck_assert_uint_eq(at(reply, 3)->kind, SLUICE_REDIS_NIL);
    ck_assert_ptr_null(sluice_redis_at(reply, 4));
}
END_TEST

START_TEST(what_follows_is_left)
{
    struct resp_scan scan = {0};
    size_t length = 0;

    ck_assert_int_eq(resp_scan(&scan, SPAN("+a\r\n+b\r\n"), &length), OK);
    ck_assert_uint_eq(length, 4);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    static const char *const bad[] = {"HTTP/1.1 400\r\n", "_\r\n",     ":\r\n",
                                      ":1x\r\n",          "$-2\r\n",   "*-2\r\n",
                                      "$1\r\nab\r",       "+a\rb\r\n", ":99999999999999999999\r\n",
                                      "$1\r\na\n\n",      "*1\r\n?"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct resp_scan scan = {0};
        size_t length;

        ck_assert_msg(resp_scan(&scan, span_of(bad[i]), &length) == ERR_PROTOCOL, "%s", bad[i]);
    }
}
END_TEST

START_TEST(replies_are_bounded)
{
    char deep[8 * (RESP_DEPTH + 1) + 1] = "", line[RESP_LINE + 3];
    struct resp_scan scan = {0};
    size_t length;

    for (unsigned i = 0; i < RESP_DEPTH; i++)
        strcat(deep, "*1\r\n");
    ck_assert_int_eq(resp_scan(&scan, span_of(deep), &length), ERR_AGAIN);
    strcat(deep, "*1\r\n");
    scan = (struct resp_scan){0};
    ck_assert_int_eq(resp_scan(&scan, span_of(deep), &length), ERR_LIMIT);
    scan = (struct resp_scan){0};
    ck_assert_int_eq(resp_scan(&scan, SPAN("*1025\r\n"), &length), ERR_LIMIT);
    memset(line, '+', sizeof(line));
    scan = (struct resp_scan){0};
    ck_assert_int_eq(resp_scan(&scan, span_make(line, sizeof(line)), &length), ERR_PROTOCOL);
    /* Announced, and never to come: who reads bounds the bytes. */
    scan = (struct resp_scan){0};
    ck_assert_int_eq(resp_scan(&scan, SPAN("$9223372036854775807\r\nabc"), &length), ERR_AGAIN);
}
END_TEST

START_TEST(commands_are_written_as_lists)
{
    struct sluice_span argv[] = {SPAN("SET"), SPAN("key"), SPAN("a b\r\n"), SPAN("")};
    static const char wanted[] = "*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\na b\r\n\r\n$0\r\n\r\n";
    char out[128];

    ck_assert_uint_eq(resp_command_bytes(argv, 4), sizeof(wanted) - 1);
    resp_write_command(argv, 4, out);
    ck_assert_mem_eq(out, wanted, sizeof(wanted) - 1);
}
END_TEST

UNIT_MAIN("net/resp", replies_of_each_kind, lists_hold_lists, what_follows_is_left,
          nonsense_is_refused, replies_are_bounded, commands_are_written_as_lists)
