/*
 * Heads and frames as bytes: compared as text, cut off at every length, and read again.
 */
#include "http/h1_write.h"

#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "http/rules.h"

#include "unit.h"

#include <string.h>

enum { LINES = 16, ROOM = 1024 };

static const struct h1_limits usual = {8192, 16384, LINES};
static struct field_line lines[LINES];
static char out[ROOM];

static struct request read_request(const char *bytes)
{
    struct request request = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t head_bytes;

    ck_assert_int_eq(h1_parse_request(&scan, span_of(bytes), &usual, &request, &head_bytes),
                     H1_DONE);
    return request;
}

static struct response read_response(const char *bytes)
{
    struct response response = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t head_bytes;

    ck_assert_int_eq(
        h1_parse_response(&scan, span_of(bytes), &usual, METHOD_GET, &response, &head_bytes),
        H1_DONE);
    return response;
}

/* Write with all rooms: nothing below the size of want may fit, and want must come out. */
#define CHECK_WRITES(want, call)                                                                   \
    do {                                                                                           \
        size_t want_len = strlen(want);                                                            \
        for (size_t room = 0; room <= want_len + 1; room++) {                                      \
            memset(out, '#', ROOM);                                                                \
            ck_assert_uint_eq((call), room < want_len ? 0 : want_len);                             \
            ck_assert_int_eq(out[room], '#');                                                      \
        }                                                                                          \
        out[want_len] = '\0';                                                                      \
        ck_assert_str_eq(out, (want));                                                             \
    } while (0)

START_TEST(a_request_is_written_without_what_was_dropped)
{
    struct request request =
        read_request("POST /a?b HTTP/1.1\r\nX: 1\r\nHost: old\r\nConnection: X-Y\r\nX-Y: 2\r\n"
                     "Accept: *\r\nUser-Agent:u\r\nOrigin:  o\r\nContent-Length: 3\r\nVia: v\r\n"
                     "Empty:\r\nCookie: c \r\nDate: d\r\n\r\n");
    const char *want = "POST /c HTTP/1.1\r\nHost: new\r\nX: 1\r\nAccept: *\r\nUser-Agent: u\r\n"
                       "Origin: o\r\nVia: v\r\nEmpty: \r\nCookie: c\r\nDate: d\r\nZ: z\r\n"
                       "Content-Length: 3\r\n\r\n";

    rules_drop_hop_by_hop(&request.fields);
    ck_assert(fields_add(&request.fields, SPAN("Z"), SPAN("z")) == OK);
    CHECK_WRITES(want, h1_write_request(out, room, &request, SPAN("/c"), SPAN("new"),
                                        request.framing, request.body_bytes, H1_CONNECTION_NONE));
}
END_TEST

/* A line as a plugin keeps it, without what HTTP/1 has behind it; two of them lie 16 bytes apart. */
static void add_whole(struct fields *fields, struct arena *arena, const char *text)
{
    size_t len = strlen(text), name_len = strcspn(text, ":");
    char *line = arena_try(arena, len);

    memcpy(line, text, len);
    ck_assert(fields_add(fields, span_make(line, name_len),
                         span_make(line + name_len + 2, len - name_len - 2)) == OK);
}

START_TEST(lines_that_nearly_touch_are_written_apart)
{
    struct request request = read_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct arena arena;

    arena_init(&arena, NULL, 0);
    add_whole(&request.fields, &arena, "x-one: 1234567"); /* two bytes of padding behind it */
    add_whole(&request.fields, &arena, "x-two: 7654321");
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nx-one: 1234567\r\nx-two: 7654321\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN("a"), request.framing,
                                  request.body_bytes, H1_CONNECTION_NONE));
    arena_fini(&arena);
}
END_TEST

START_TEST(framing_and_connection_are_written_as_asked)
{
    struct request request = read_request("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                          "Transfer-Encoding: chunked\r\n\r\n");

    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_CHUNKED,
                                  BODY_UNKNOWN, H1_CONNECTION_NONE));
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_NONE,
                                  BODY_UNKNOWN, H1_CONNECTION_CLOSE));
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n"
                 "Connection: keep-alive\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_LENGTH,
                                  INT64_MAX, H1_CONNECTION_KEEP_ALIVE));
}
END_TEST

START_TEST(te_is_announced_in_connection)
{
    struct request request =
        read_request("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, x\r\nConnection: TE\r\n\r\n");

    rules_drop_hop_by_hop(&request.fields);
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_NONE,
                                  BODY_UNKNOWN, H1_CONNECTION_NONE));
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_NONE,
                                  BODY_UNKNOWN, H1_CONNECTION_CLOSE));
}
END_TEST

START_TEST(an_upgrade_is_written_as_decided_and_never_copied)
{
    struct request request =
        read_request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nTE: trailers\r\n\r\n");
    struct response response;

    ck_assert_uint_eq(request.upgrade.len, 0);
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_NONE,
                                  BODY_UNKNOWN, H1_CONNECTION_NONE));
    request.upgrade = SPAN("websocket");
    CHECK_WRITES("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, Upgrade\r\n"
                 "Upgrade: websocket\r\n\r\n",
                 h1_write_request(out, room, &request, SPAN("/"), SPAN(""), FRAMING_NONE,
                                  BODY_UNKNOWN, H1_CONNECTION_NONE));
    response = read_response("HTTP/1.1 101 S\r\nUpgrade: x\r\nA: b\r\n\r\n");
    ck_assert_uint_eq(response.upgrade.len, 0);
    response.upgrade = SPAN("websocket");
    CHECK_WRITES("HTTP/1.1 101 S\r\nA: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                 h1_write_response(out, room, &response, FRAMING_NONE, BODY_UNKNOWN, -1,
                                   H1_CONNECTION_NONE));
}
END_TEST

START_TEST(a_response_is_written_with_its_reason_or_the_usual_one)
{
    struct response response = read_response("HTTP/1.0 404 Nope\r\nServer: s\r\n"
                                             "Content-Length: 7\r\n\r\n");

    CHECK_WRITES(
        "HTTP/1.1 404 Nope\r\nServer: s\r\nContent-Length: 7\r\n\r\n",
        h1_write_response(out, room, &response, FRAMING_LENGTH, 7, -1, H1_CONNECTION_NONE));
    response.reason = SPAN("");
    CHECK_WRITES("HTTP/1.1 404 Not Found\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n",
                 h1_write_response(out, room, &response, FRAMING_CHUNKED, BODY_UNKNOWN, -1,
                                   H1_CONNECTION_NONE));
    CHECK_WRITES("HTTP/1.1 404 Not Found\r\nServer: s\r\nConnection: close\r\n\r\n",
                 h1_write_response(out, room, &response, FRAMING_CLOSE, BODY_UNKNOWN, 7,
                                   H1_CONNECTION_CLOSE));
    CHECK_WRITES("HTTP/1.1 404 Not Found\r\nServer: s\r\nContent-Length: 7\r\n"
                 "Connection: keep-alive\r\n\r\n",
                 h1_write_response(out, room, &response, FRAMING_NONE, BODY_UNKNOWN, 7,
                                   H1_CONNECTION_KEEP_ALIVE));
    response.status = 599;
    CHECK_WRITES("HTTP/1.1 599 \r\nServer: s\r\n\r\n",
                 h1_write_response(out, room, &response, FRAMING_NONE, BODY_UNKNOWN, -1,
                                   H1_CONNECTION_NONE));
}
END_TEST

START_TEST(written_heads_are_read_as_they_were_meant)
{
    struct request request = read_request("PUT /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                                          "Accept: b\r\nX-Long: cccccccccc\r\n\r\n");
    struct request again;
    size_t len = h1_write_request(out, ROOM, &request, request.target, request.authority,
                                  request.framing, request.body_bytes, H1_CONNECTION_CLOSE);

    ck_assert_uint_ne(len, 0);
    out[len] = '\0';
    again = read_request(out);
    ck_assert_uint_eq(again.method, METHOD_PUT);
    ck_assert(span_equal(again.target, SPAN("/x?y")));
    ck_assert(span_equal(again.authority, SPAN("a")));
    ck_assert_uint_eq(again.framing, FRAMING_LENGTH);
    ck_assert_int_eq(again.body_bytes, 3);
    ck_assert(!again.keep_alive);
    ck_assert_uint_eq(again.fields.n, 5);
}
END_TEST

START_TEST(chunks_are_framed)
{
    struct fields trailers = {.line = lines, .cap = LINES};

    CHECK_WRITES("5dc\r\n", h1_write_chunk_head(out, room, 0x5dc));
    CHECK_WRITES("ffffffffffffffff\r\n", h1_write_chunk_head(out, room, UINT64_MAX));
    CHECK_WRITES("0\r\n\r\n", h1_write_last_chunk(out, room, NULL));
    CHECK_WRITES("0\r\n\r\n", h1_write_last_chunk(out, room, &trailers));
    ck_assert(fields_add(&trailers, SPAN("Sum"), SPAN("1")) == OK);
    ck_assert(fields_add(&trailers, SPAN("Content-Length"), SPAN("1")) == OK);
    ck_assert(fields_add(&trailers, SPAN("Gone"), SPAN("1")) == OK);
    ck_assert_uint_eq(fields_remove(&trailers, SPAN("Gone")), 1);
    CHECK_WRITES("0\r\nSum: 1\r\n\r\n", h1_write_last_chunk(out, room, &trailers));
}
END_TEST

START_TEST(written_chunks_are_read_as_they_were_meant)
{
    struct h1_body body;
    struct sluice_span piece;
    size_t used, len = h1_write_chunk_head(out, ROOM, 5);

    memcpy(out + len, "hello\r\n", 7);
    len += 7;
    len += h1_write_last_chunk(out + len, ROOM - len, NULL);
    h1_body_init(&body, FRAMING_CHUNKED, BODY_UNKNOWN);
    ck_assert_int_eq(h1_body_next(&body, span_make(out, len), &used, &piece), H1_AGAIN);
    ck_assert(span_equal(piece, SPAN("hello")));
    ck_assert_int_eq(h1_body_next(&body, span_make(out + used, len - used), &used, &piece),
                     H1_DONE);
    ck_assert_uint_eq(piece.len, 0);
}
END_TEST

UNIT_MAIN("http/h1_write", an_upgrade_is_written_as_decided_and_never_copied,
          a_request_is_written_without_what_was_dropped, lines_that_nearly_touch_are_written_apart,
          framing_and_connection_are_written_as_asked, te_is_announced_in_connection,
          a_response_is_written_with_its_reason_or_the_usual_one,
          written_heads_are_read_as_they_were_meant, chunks_are_framed,
          written_chunks_are_read_as_they_were_meant)
