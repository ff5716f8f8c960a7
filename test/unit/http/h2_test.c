#include "h2_pair.h"

static void answer(struct h2_stream *stream, unsigned status, bool last)
{
    struct response response = {.status = (uint16_t)status};

    ck_assert_int_eq(h2_send_response(stream, &response, BODY_UNKNOWN, last), OK);
}

START_TEST(h2_request_and_response_go_through)
{
    static const size_t steps[] = {0, 1, 3, 7};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct pair *pair = pair_open();
        struct h2_stream *stream;

        pair->step = steps[i];
        stream = ask(pair, "GET", "/a?b=c", true);
        settle(pair);
        ck_assert(said(&pair->server, "GET /a?b=c host=example.com framing=0 host=example.com\n"));
        answer(pair->server.stream, 200, false);
        h2_send_body(pair->server.stream, SPAN("hello"));
        h2_send_end(pair->server.stream, NULL);
        ck_assert_int_eq(h2_flush(pair->server.stream), OK);
        h2_leave(pair->server.stream);
        settle(pair);
        ck_assert(said(&pair->client, "200 framing=2 length=-1\nbody h"));
        ck_assert(said(&pair->client, "end\n"));
        ck_assert_uint_eq(pair->client.body_bytes, 5);
        h2_leave(stream);
        settle(pair);
        ck_assert_uint_eq(h2_streams(pair->server.h2), 0);
        ck_assert_uint_eq(h2_streams(pair->client.h2), 0);
        ck_assert_uint_eq(pair->client.lost + pair->server.lost, 0);
        pair_close(pair);
    }
}
END_TEST

START_TEST(h2_trailers_go_both_ways)
{
    struct field_line lines[] = {{"X-Sum", "42", 2, 5, FIELD_OTHER, 0},
                                 {"x-gone", "1", 1, 6, FIELD_OTHER, FIELD_DROPPED}};
    struct fields trailers = {.line = lines, .n = 2, .cap = 2};
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);

    h2_send_body(stream, SPAN("up"));
    h2_send_end(stream, &trailers);
    ck_assert_int_eq(h2_flush(stream), OK);
    settle(pair);
    ck_assert(said(&pair->server, "body up\nend x-sum=42\n"));
    answer(pair->server.stream, 200, false);
    h2_send_end(pair->server.stream, &trailers);
    ck_assert_int_eq(h2_flush(pair->server.stream), OK);
    settle(pair);
    ck_assert_str_eq(pair->client.notes, "200 framing=2 length=-1\nend x-sum=42\n");
    h2_leave(pair->server.stream);
    h2_leave(stream);
    ck_assert_uint_eq(h2_streams(pair->server.h2), 0);
    pair_close(pair);
}
END_TEST

START_TEST(h2_interim_heads_come_before_the_final_one)
{
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "GET", "/", true);

    settle(pair);
    answer(pair->server.stream, 103, false);
    settle(pair);
    answer(pair->server.stream, 204, true);
    settle(pair);
    ck_assert_str_eq(pair->client.notes, "103 framing=0 length=-1\n204 framing=0 length=-1\nend\n");
    h2_leave(pair->server.stream);
    h2_leave(stream);
    pair_close(pair);
}
END_TEST

START_TEST(h2_window_stops_the_sender_until_content_is_taken)
{
    static char big[300 * 1024];
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);

    settle(pair);
    h2_hold(pair->server.stream);
    h2_send_body(stream, span_make(big, sizeof(big)));
    ck_assert_int_eq(h2_flush(stream), ERR_AGAIN);
    ck_assert(h2_is_stuck(stream));
    settle(pair);
    ck_assert_uint_eq(h2_framed(stream), 65535);
    ck_assert_uint_eq(pair->server.body_bytes, 0);
    ck_assert(!said(&pair->client, "drained"));
    h2_release(pair->server.stream);
    settle(pair);
    ck_assert_uint_eq(pair->server.body_bytes, sizeof(big));
    ck_assert(said(&pair->client, "drained"));
    h2_send_end(stream, NULL);
    ck_assert_int_eq(h2_flush(stream), OK);
    settle(pair);
    ck_assert(said(&pair->server, "end\n"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_end_waits_for_content_that_is_held)
{
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);
    struct field_line lines[] = {{"x-sum", "42", 2, 5, FIELD_OTHER, 0}};
    struct fields trailers = {.line = lines, .n = 1, .cap = 1};

    settle(pair);
    h2_hold(pair->server.stream);
    h2_send_body(stream, SPAN("late"));
    h2_send_end(stream, &trailers);
    ck_assert_int_eq(h2_flush(stream), OK);
    settle(pair);
    ck_assert(!said(&pair->server, "end"));
    h2_release(pair->server.stream);
    settle(pair);
    ck_assert(said(&pair->server, "body late\nend x-sum=42\n"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_blocked_connection_frames_nothing)
{
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);

    settle(pair);
    h2_block(pair->client.h2);
    h2_send_body(stream, SPAN("wait"));
    h2_send_end(stream, NULL);
    ck_assert_int_eq(h2_flush(stream), ERR_AGAIN);
    settle(pair);
    ck_assert_uint_eq(pair->client.out_bytes, 0);
    h2_unblock(pair->client.h2);
    h2_run(pair->client.h2);
    settle(pair);
    ck_assert(said(&pair->client, "drained"));
    ck_assert(said(&pair->server, "body wait\nend\n"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_reset_tells_the_other_side)
{
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "GET", "/", true);

    settle(pair);
    h2_reset(pair->server.stream, H2_INTERNAL_ERROR);
    settle(pair);
    ck_assert_str_eq(pair->client.notes, "lost INTERNAL_ERROR by peer\n");
    ck_assert_uint_eq(h2_streams(pair->server.h2), 0);
    ck_assert_uint_eq(h2_streams(pair->client.h2), 0);
    stream = ask(pair, "GET", "/", true);
    settle(pair);
    h2_reset(stream, H2_REFUSED_STREAM);
    settle(pair);
    ck_assert(said(&pair->server, "lost REFUSED_STREAM by peer\n"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_early_answer_ends_the_request_without_error)
{
    static char big[200 * 1024];
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);

    h2_send_body(stream, span_make(big, sizeof(big)));
    ck_assert_int_eq(h2_flush(stream), ERR_AGAIN);
    while (pair->client.out_bytes > 0 && !pair->server.stream)
        (void)pass(pair, &pair->client, &pair->server);
    answer(pair->server.stream, 413, true);
    ck_assert_int_eq(h2_flush(pair->server.stream), OK);
    h2_leave(pair->server.stream);
    settle(pair);
    ck_assert(said(&pair->client, "413 framing=1 length=0\nend\nlost NO_ERROR by peer\n"));
    ck_assert_uint_eq(h2_streams(pair->server.h2), 0);
    pair_close(pair);
}
END_TEST

START_TEST(h2_goaway_leaves_unknown_streams_unprocessed)
{
    struct pair *pair = pair_open();
    struct h2_stream *first = ask(pair, "GET", "/1", true);

    settle(pair);
    h2_shutdown_notice(pair->server.h2);
    settle(pair);
    ck_assert(said(&pair->client, "goaway 7fffffff NO_ERROR\n"));
    ck_assert_uint_eq(h2_stream_room(pair->client.h2), 0);
    h2_goaway(pair->server.h2, H2_NO_ERROR);
    answer(pair->server.stream, 204, true);
    h2_leave(pair->server.stream);
    settle(pair);
    ck_assert(said(&pair->client, "goaway 1 NO_ERROR\n204 framing=0 length=-1\nend\n"));
    h2_leave(first);
    ck_assert(h2_is_over(pair->server.h2));
    pair_close(pair);
}
END_TEST

START_TEST(h2_request_that_crosses_a_goaway_may_be_sent_again)
{
    struct pair *pair = pair_open();

    h2_goaway(pair->server.h2, H2_NO_ERROR);
    h2_pull(pair->server.h2);
    (void)ask(pair, "GET", "/late", true);
    settle(pair);
    ck_assert(said(&pair->client, "lost REFUSED_STREAM by peer unprocessed\n"));
    ck_assert(!said(&pair->server, "/late"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_streams_beyond_the_limit_are_not_opened)
{
    struct pair *pair = pair_open();

    for (unsigned i = 0; i < pair_settings.max_streams; i++) {
        ck_assert_uint_eq(h2_stream_room(pair->client.h2), pair_settings.max_streams - i);
        (void)ask(pair, "GET", "/", true);
    }
    ck_assert_uint_eq(h2_stream_room(pair->client.h2), 0);
    settle(pair);
    ck_assert_uint_eq(h2_streams(pair->server.h2), pair_settings.max_streams);
    pair_close(pair);
}
END_TEST

START_TEST(h2_extended_connect_is_told_as_a_get)
{
    struct request request = {.method = METHOD_GET, .method_text = SPAN("GET")};
    struct h2_request_head head = {.request = &request,
                                   .scheme = SPAN("https"),
                                   .authority = SPAN("example.com"),
                                   .target = SPAN("/chat"),
                                   .protocol = SPAN("websocket"),
                                   .length = BODY_UNKNOWN};
    struct pair *pair = pair_open();
    struct h2_stream *stream;

    ck_assert(h2_has_extended_connect(pair->client.h2));
    ck_assert_int_eq(h2_send_request(pair->client.h2, &head, NULL, &stream), OK);
    h2_send_body(stream, SPAN("ping"));
    ck_assert_int_eq(h2_flush(stream), OK);
    settle(pair);
    ck_assert(said(&pair->server,
                   "GET /chat host=example.com framing=0 protocol=websocket host=example.com\n"
                   "body ping\n"));
    pair_close(pair);
}
END_TEST

START_TEST(h2_lost_connection_tells_every_owner)
{
    struct h2_loss loss = {.code = H2_INTERNAL_ERROR, .detail = "gone"};
    struct pair *pair = pair_open();

    (void)ask(pair, "GET", "/1", true);
    (void)ask(pair, "GET", "/2", true);
    h2_fail(pair->client.h2, &loss);
    ck_assert_str_eq(pair->client.notes, "lost INTERNAL_ERROR: gone\nlost INTERNAL_ERROR: gone\n");
    ck_assert(h2_is_over(pair->client.h2));
    pair_close(pair);
}
END_TEST

START_TEST(h2_many_connections_share_one_frame_buffer)
{
    struct pair *pair = pair_open(), other = {.bench = pair->bench};
    char value[20000];
    struct field_line line = {"x-long", value, sizeof(value), 6, FIELD_OTHER, 0};
    struct request request = {
        .method = METHOD_GET, .method_text = SPAN("GET"), .fields = {.line = &line, .n = 1}};
    struct h2_request_head head = {.request = &request,
                                   .scheme = SPAN("http"),
                                   .authority = SPAN("a"),
                                   .target = SPAN("/"),
                                   .length = BODY_UNKNOWN,
                                   .last = true};
    struct h2_stream *stream;

    memset(value, '\x7e', sizeof(value)); /* long in Huffman code: more than one frame */
    end_open(&other.client, pair->bench, H2_CLIENT);
    end_open(&other.server, pair->bench, H2_SERVER);
    (void)ask(pair, "GET", "/one", true);
    (void)ask(&other, "GET", "/two", true);
    ck_assert_int_eq(h2_send_request(other.client.h2, &head, NULL, &stream), OK);
    settle(&other);
    settle(pair);
    ck_assert(said(&pair->server, "GET /one "));
    ck_assert(said(&other.server, "GET /two "));
    ck_assert(said(&other.server, "refused: fields larger than the limit\n"));
    h2_free(&other.client.h2);
    h2_free(&other.server.h2);
    free(other.client.out);
    free(other.server.out);
    pair_close(pair);
}
END_TEST

START_TEST(h2_answer_that_is_whole_outlives_its_stream)
{
    struct pair *pair = pair_open();
    struct h2_stream *stream = ask(pair, "POST", "/", false);

    settle(pair);
    answer(pair->server.stream, 200, false);
    settle(pair);
    h2_hold(stream);
    h2_send_body(pair->server.stream, SPAN("whole"));
    h2_send_end(pair->server.stream, NULL);
    ck_assert_int_eq(h2_flush(pair->server.stream), OK);
    h2_leave(pair->server.stream); /* the rest of the request is not needed */
    settle(pair);
    ck_assert_str_eq(pair->client.notes, "200 framing=2 length=-1\n");
    h2_release(stream);
    settle(pair);
    ck_assert_str_eq(pair->client.notes, "200 framing=2 length=-1\nbody whole\nend\n");
    h2_leave(stream);
    ck_assert_uint_eq(h2_streams(pair->client.h2), 0);
    pair_close(pair);
}
END_TEST

START_TEST(h2_answer_that_is_whole_outlives_its_connection)
{
    const struct h2_loss loss = {.code = H2_NO_ERROR, .detail = "gone"};
    struct field_line lines[] = {{"x-sum", "42", 2, 5, FIELD_OTHER, 0}};
    struct fields trailers = {.line = lines, .n = 1, .cap = 1};
    struct pair *pair = pair_open();
    struct h2_stream *whole = ask(pair, "GET", "/whole", true), *part;

    settle(pair);
    answer(pair->server.stream, 200, false);
    settle(pair);
    h2_hold(whole);
    h2_send_body(pair->server.stream, SPAN("whole"));
    h2_send_end(pair->server.stream, &trailers);
    ck_assert_int_eq(h2_flush(pair->server.stream), OK);
    part = ask(pair, "GET", "/part", true);
    settle(pair);
    answer(pair->server.stream, 200, false);
    settle(pair);
    h2_hold(part);
    h2_send_body(pair->server.stream, SPAN("part"));
    ck_assert_int_eq(h2_flush(pair->server.stream), OK);
    settle(pair);
    h2_fail(pair->client.h2, &loss);
    ck_assert_uint_eq(pair->client.lost, 1);
    ck_assert(said(&pair->client, "lost NO_ERROR: gone\n"));
    h2_release(whole);
    run_woken(&pair->client);
    ck_assert(said(&pair->client, "body whole\nend x-sum=42\n"));
    ck_assert(!said(&pair->client, "body part"));
    ck_assert_uint_eq(pair->client.out_bytes, 0);
    h2_leave(whole);
    pair_close(pair);
}
END_TEST

START_TEST(h2_request_that_waits_to_be_sent_when_a_goaway_comes_may_be_sent_again)
{
    struct pair *pair = pair_open();

    h2_block(pair->client.h2);
    (void)ask(pair, "POST", "/late", true);
    h2_goaway(pair->server.h2, H2_NO_ERROR);
    settle(pair);
    h2_unblock(pair->client.h2);
    settle(pair);
    ck_assert(said(&pair->client, "lost REFUSED_STREAM by peer unprocessed\n"));
    ck_assert(!said(&pair->server, "/late"));
    ck_assert_uint_eq(h2_streams(pair->client.h2), 0);
    pair_close(pair);
}
END_TEST

/* As a reload does it: the same connection, and the table of fields that was made for less. */
/* One that is answered, or reset by the client. */
static void ask_and(struct pair *pair, bool is_reset)
{
    struct h2_stream *stream;

    pair->server.answers = !is_reset;
    stream = ask(pair, "GET", "/", true);
    settle(pair);
    if (is_reset) {
        h2_reset(stream, H2_CANCEL);
    } else {
        h2_leave(stream);
    }
    settle(pair);
}

START_TEST(h2_resets_are_a_flood_when_they_are_most_of_many_streams)
{
    struct pair *pair = pair_open();

    for (unsigned i = 0; i < 100; i++) {
        ask_and(pair, false);
        ask_and(pair, true);
    }
    ck_assert_uint_eq(pair->server.lost, 100);
    ck_assert_uint_eq(pair->server.causes, 0);
    ask_and(pair, true);
    ck_assert_uint_eq(pair->server.causes, 1U << H2_CAUSE_RAPID_RESET);
    ck_assert(h2_is_over(pair->server.h2));
    pair_close(pair);
}
END_TEST

START_TEST(h2_resets_within_the_limit_are_no_flood)
{
    struct pair *pair = pair_open();

    for (unsigned i = 0; i < pair_settings.limits.resets; i++)
        ask_and(pair, true);
    ck_assert_uint_eq(pair->server.causes, 0);
    ask_and(pair, true);
    ck_assert_uint_eq(pair->server.causes, 1U << H2_CAUSE_RAPID_RESET);
    pair_close(pair);
}
END_TEST

START_TEST(h2_limit_of_fields_that_grows_under_a_connection_has_room)
{
    enum { MANY = 900 };
    static struct field_line lines[MANY];
    struct h2_settings settings = pair_settings;
    struct request request = {.method = METHOD_GET, .method_text = SPAN("GET")};
    struct h2_request_head head = {.request = &request,
                                   .scheme = SPAN("http"),
                                   .authority = SPAN("a"),
                                   .target = SPAN("/"),
                                   .length = BODY_UNKNOWN,
                                   .last = true};
    struct pair *pair = pair_open();
    struct end *server = &pair->server;
    struct h2_stream *stream;

    h2_free(&server->h2);
    h2_free(&pair->client.h2);
    server->h2 = h2_new(pair->bench, H2_SERVER, &settings, &pair_ops, server);
    pair->client.h2 = h2_new(pair->bench, H2_CLIENT, &pair_settings, &pair_ops, &pair->client);
    settle(pair);
    settings.field_count = MANY;
    settings.head_bytes = 128 * 1024;
    for (unsigned i = 0; i < MANY; i++) {
        lines[i] = (struct field_line){"x", "1", 1, 1, FIELD_OTHER, 0};
    }
    request.fields = (struct fields){.line = lines, .n = MANY, .cap = MANY};
    ck_assert_int_eq(h2_send_request(pair->client.h2, &head, NULL, &stream), OK);
    settle(pair);
    ck_assert(said(server, "GET / host=a framing=0 x=1 x=1"));
    pair_close(pair);
}
END_TEST

UNIT_MAIN("http/h2", h2_request_and_response_go_through, h2_trailers_go_both_ways,
          h2_interim_heads_come_before_the_final_one,
          h2_window_stops_the_sender_until_content_is_taken, h2_end_waits_for_content_that_is_held,
          h2_blocked_connection_frames_nothing, h2_reset_tells_the_other_side,
          h2_early_answer_ends_the_request_without_error,
          h2_goaway_leaves_unknown_streams_unprocessed,
          h2_request_that_crosses_a_goaway_may_be_sent_again,
          h2_streams_beyond_the_limit_are_not_opened, h2_extended_connect_is_told_as_a_get,
          h2_lost_connection_tells_every_owner, h2_many_connections_share_one_frame_buffer,
          h2_answer_that_is_whole_outlives_its_stream,
          h2_answer_that_is_whole_outlives_its_connection,
          h2_request_that_waits_to_be_sent_when_a_goaway_comes_may_be_sent_again,
          h2_resets_are_a_flood_when_they_are_most_of_many_streams,
          h2_resets_within_the_limit_are_no_flood,
          h2_limit_of_fields_that_grows_under_a_connection_has_room)
