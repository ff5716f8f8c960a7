/*
 * Bodies: whole, split at every byte and byte by byte.
 */
#include "http/h1_body.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { CONTENT_ROOM = 8192 };

/* What a body gave: the content, how many bytes it used, how it ended. */
struct got {
    char content[CONTENT_ROOM];
    size_t len, used;
    enum h1_result result;
    enum h1_rule rule;
};

/* Offer the bytes [got->used, end) until they are used up or the body has ended. */
static void offer(struct h1_body *body, const char *bytes, size_t end, struct got *got)
{
    do {
        struct sluice_span piece;
        size_t used, left = end - got->used;
        char *copy = malloc(left + (left == 0));

        memcpy(copy, bytes + got->used, left);
        got->result = h1_body_next(body, (struct sluice_span){copy, left}, &used, &piece);
        ck_assert_uint_le(used, left);
        ck_assert_uint_le(got->len + piece.len, CONTENT_ROOM);
        memcpy(got->content + got->len, piece.ptr, piece.len);
        got->len += piece.len;
        got->used += used;
        ck_assert(used != 0 || left == 0 || got->result != H1_AGAIN);
        free(copy);
    } while (got->result == H1_AGAIN && got->used < end);
    got->rule = (enum h1_rule)body->rule;
}

/* Offer up to first, then on in steps of step. */
static struct got read_body(enum framing framing, int64_t body_bytes, struct sluice_span bytes,
                            size_t first, size_t step)
{
    struct h1_body body;
    struct got got = {.result = H1_AGAIN};

    h1_body_init(&body, framing, body_bytes);
    for (size_t end = first; got.result == H1_AGAIN; end += step) {
        offer(&body, bytes.ptr, end < bytes.len ? end : bytes.len, &got);
        if (end >= bytes.len)
            break;
    }
    return got;
}

static void same(const struct got *a, const struct got *b, const char *bytes)
{
    ck_assert_msg(a->result == b->result && a->rule == b->rule && a->used == b->used &&
                      a->len == b->len && memcmp(a->content, b->content, a->len) == 0,
                  "<<%s>> read in two ways: %d %s, %d %s", bytes, (int)a->result,
                  h1_rule_text(a->rule), (int)b->result, h1_rule_text(b->rule));
}

static struct got read_all_ways(enum framing framing, int64_t body_bytes, struct sluice_span bytes)
{
    struct got whole = read_body(framing, body_bytes, bytes, bytes.len, bytes.len + 1);
    struct got other = read_body(framing, body_bytes, bytes, 0, 1);

    same(&whole, &other, bytes.ptr);
    for (size_t first = 0; first < bytes.len; first++) {
        other = read_body(framing, body_bytes, bytes, first, bytes.len);
        same(&whole, &other, bytes.ptr);
    }
    return whole;
}

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

START_TEST(chunked_bodies_are_read_however_they_are_split)
{
    static const struct {
        struct sluice_span bytes;
        const char *content;
        size_t rest; /* bytes after the last chunk's line */
    } bodies[] = {
        {BYTES("0\r\n"), "", 0},
        {BYTES("0\r\n\r\nGET"), "", 5},
        {BYTES("000\r\nA: b\r\n\r\n"), "", 8},
        {BYTES("5\r\nhello\r\n0\r\n\r\n"), "hello", 2},
        {BYTES("5\r\nhello\r\n6\r\n world\r\n0\r\n"), "hello world", 0},
        {BYTES("0000000000000005\r\nhello\r\n0000000000000000\r\n"), "hello", 0},
        {BYTES("a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n"), "0\r\n\r\n0\r\n\r\n", 0},
        {BYTES("A\r\n0123456789\r\n0\r\n"), "0123456789", 0},
        {BYTES("5;a\r\nhello\r\n0;b\r\n"), "hello", 0},
        {BYTES("5;a=b\r\nhello\r\n0\r\n"), "hello", 0},
        {BYTES("5;a=b;c;d=\"e;\\\"\tf\x80\";g\r\nhello\r\n0\r\n"), "hello", 0},
        {BYTES("5; a\t= b ; c = \"\"\r\nhello\r\n0\r\n"), "hello", 0},
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct got got = read_all_ways(FRAMING_CHUNKED, BODY_UNKNOWN, bodies[i].bytes);

        ck_assert_msg(got.result == H1_DONE, "<<%s>>: %d %s", bodies[i].bytes.ptr, (int)got.result,
                      h1_rule_text(got.rule));
        ck_assert_uint_eq(got.len, strlen(bodies[i].content));
        ck_assert_mem_eq(got.content, bodies[i].content, got.len);
        ck_assert_uint_eq(bodies[i].bytes.len - got.used, bodies[i].rest);
    }
}
END_TEST

START_TEST(malformed_chunks_are_refused)
{
    static const struct {
        struct sluice_span bytes;
        enum h1_rule rule;
    } bodies[] = {
        {BYTES("\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES(";a\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("g\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("0x5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("+5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("-5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES(" 5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5 \r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5 ;a\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5\t\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5_0\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5,5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5.0\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("5\0\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("\xb5\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("00000000000000005\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("8000000000000000\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("ffffffffffffffff\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("10000000000000005\r\n"), H1_RULE_CHUNK_SIZE},
        {BYTES("\n"), H1_RULE_BARE_LF},
        {BYTES("5\nhello"), H1_RULE_BARE_LF},
        {BYTES("5;a\nhello"), H1_RULE_BARE_LF},
        {BYTES("0\n"), H1_RULE_BARE_LF},
        {BYTES("5\rhello"), H1_RULE_BARE_CR},
        {BYTES("5\r\r\n"), H1_RULE_BARE_CR},
        {BYTES("5;a\r5\r\n"), H1_RULE_BARE_CR},
        {BYTES("5;\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;;\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5; \r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a \r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a b\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;=b\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=b=c\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=b \r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\\\r\n\"\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\n\"\r\n"), H1_RULE_BARE_LF},
        {BYTES("5;a=\"b\"c\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a\0\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a=\"\0\"\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5;a\x80\r\n"), H1_RULE_CHUNK_EXTENSION},
        {BYTES("5\r\nhello0\r\n"), H1_RULE_CHUNK_END},
        {BYTES("5\r\nhello\n0\r\n"), H1_RULE_CHUNK_END},
        {BYTES("5\r\nhello\r0\r\n"), H1_RULE_CHUNK_END},
        {BYTES("5\r\nhelloo\r\n"), H1_RULE_CHUNK_END},
        {BYTES("5\r\nhell\r\n0\r\n"), H1_RULE_CHUNK_END},
        {BYTES("5\r\nhello\r\n\r\n0\r\n"), H1_RULE_CHUNK_SIZE},
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct got got = read_all_ways(FRAMING_CHUNKED, BODY_UNKNOWN, bodies[i].bytes);

        ck_assert_msg(got.result == H1_WRONG && got.rule == bodies[i].rule, "<<%s>>: %d %s",
                      bodies[i].bytes.ptr, (int)got.result, h1_rule_text(got.rule));
    }
}
END_TEST

START_TEST(the_largest_chunk_size_is_accepted)
{
    struct got got = read_all_ways(FRAMING_CHUNKED, BODY_UNKNOWN, SPAN("7fffffffffffffff\r\nabc"));

    ck_assert_int_eq(got.result, H1_AGAIN);
    ck_assert_uint_eq(got.len, 3);
}
END_TEST

/* "5;aaa...\r\n" with a line of line_bytes bytes. */
static struct sluice_span long_line(char *text, size_t line_bytes)
{
    memset(text, 'a', line_bytes);
    memcpy(text, "5;", 2);
    memcpy(text + line_bytes, "\r\n", 2);
    return (struct sluice_span){text, line_bytes + 2};
}

START_TEST(chunk_line_limit_is_exact)
{
    static char text[2048];
    struct got got = read_all_ways(FRAMING_CHUNKED, BODY_UNKNOWN, long_line(text, 1024));

    ck_assert_int_eq(got.result, H1_AGAIN);
    got = read_all_ways(FRAMING_CHUNKED, BODY_UNKNOWN, long_line(text, 1025));
    ck_assert_int_eq(got.result, H1_WRONG);
    ck_assert_uint_eq(got.rule, H1_RULE_CHUNK_EXTENSION);
    ck_assert_uint_eq(got.used, 1025);
}
END_TEST

START_TEST(many_extensions_around_little_content_are_refused)
{
    static char text[2048];
    struct sluice_span line = long_line(text, 1000), piece;
    struct h1_body body;
    size_t used;
    unsigned n = 0;

    memcpy(text + line.len, "hello\r\n", 7);
    line.len += 7;
    h1_body_init(&body, FRAMING_CHUNKED, BODY_UNKNOWN);
    for (enum h1_result result = H1_AGAIN; result == H1_AGAIN; n++) {
        ck_assert_uint_lt(n, 100);
        for (size_t at = 0; at < line.len && result == H1_AGAIN; at += used)
            result =
                h1_body_next(&body, (struct sluice_span){text + at, line.len - at}, &used, &piece);
    }
    ck_assert_uint_eq(body.rule, H1_RULE_CHUNK_EXTENSION);
    ck_assert_uint_eq(n, 16384 / 994 + 1);
}
END_TEST

START_TEST(bodies_by_length_end_at_their_length)
{
    struct got got = read_all_ways(FRAMING_LENGTH, 5, SPAN("hello world"));

    ck_assert_int_eq(got.result, H1_DONE);
    ck_assert_uint_eq(got.used, 5);
    ck_assert_mem_eq(got.content, "hello", 5);
    got = read_all_ways(FRAMING_LENGTH, 12, SPAN("hello world"));
    ck_assert_int_eq(got.result, H1_AGAIN);
    ck_assert_uint_eq(got.len, 11);
    got = read_all_ways(FRAMING_LENGTH, 0, SPAN("x"));
    ck_assert_int_eq(got.result, H1_DONE);
    ck_assert_uint_eq(got.used, 0);
}
END_TEST

START_TEST(no_body_is_done_at_once_and_close_never)
{
    struct got got = read_all_ways(FRAMING_NONE, BODY_UNKNOWN, SPAN("GET"));

    ck_assert_int_eq(got.result, H1_DONE);
    ck_assert_uint_eq(got.used, 0);
    got = read_all_ways(FRAMING_CLOSE, BODY_UNKNOWN, SPAN("hello"));
    ck_assert_int_eq(got.result, H1_AGAIN);
    ck_assert_uint_eq(got.len, 5);
}
END_TEST

START_TEST(an_ended_body_stays_ended)
{
    struct h1_body body;
    struct sluice_span piece;
    size_t used;

    h1_body_init(&body, FRAMING_CHUNKED, BODY_UNKNOWN);
    ck_assert_int_eq(h1_body_next(&body, SPAN("0\r\n5\r\n"), &used, &piece), H1_DONE);
    ck_assert_uint_eq(used, 3);
    ck_assert_int_eq(h1_body_next(&body, SPAN("5\r\n"), &used, &piece), H1_DONE);
    ck_assert_uint_eq(used, 0);
    h1_body_init(&body, FRAMING_CHUNKED, BODY_UNKNOWN);
    ck_assert_int_eq(h1_body_next(&body, SPAN("x"), &used, &piece), H1_WRONG);
    ck_assert_int_eq(h1_body_next(&body, SPAN("0\r\n"), &used, &piece), H1_WRONG);
    ck_assert_uint_eq(body.rule, H1_RULE_CHUNK_SIZE);
}
END_TEST

UNIT_MAIN("http/h1_body", chunked_bodies_are_read_however_they_are_split,
          malformed_chunks_are_refused, the_largest_chunk_size_is_accepted,
          chunk_line_limit_is_exact, many_extensions_around_little_content_are_refused,
          bodies_by_length_end_at_their_length, no_body_is_done_at_once_and_close_never,
          an_ended_body_stays_ended)
