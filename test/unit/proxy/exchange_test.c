/*
 * Exchanges over real sockets. Each row of the table in exchange.c has a test, named behind it:
 *
 *   MATCH > AIM, AIM > LEASE       a_request_is_forwarded_and_answered
 *   MATCH > REPLY                  a_route_answers_itself
 *   AIM > SEND_HEAD                a_kept_connection_serves_the_next_request
 *   LEASE > SEND_HEAD > FORWARD    a_request_is_forwarded_and_answered
 *   FORWARD > ANSWER > DRAIN       a_response_with_a_length_ends_with_its_last_byte
 *   LEASE > AIM                    a_dead_endpoint_is_passed_over
 *   FORWARD > AIM                  a_stale_connection_is_tried_again_once
 *   FORWARD > PAUSE > AIM          in retry_test.c
 *   all before ANSWER > REPLY      what_no_route_takes_is_refused (MATCH), all_dead_... (AIM),
 *                                  queue_timeout_... (LEASE), response_timeout_... (FORWARD)
 *   REPLY > DRAIN > DONE           a_route_answers_itself
 *   DRAIN > DONE later             a_slow_client_gets_every_byte
 *   FORWARD > TUNNEL > DONE        a_tunnel_ends_when_both_sides_have_ended
 *   TUNNEL > DONE by cut           a_reset_cuts_a_tunnel, a_quiet_tunnel_is_cut
 *   any > DONE by cut              a_client_that_leaves_ends_its_exchange, a_cut_response_...
 */
#include "proxy/exchange.h"

#include "scene.h"

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: app\r\n\r\n"
#define OK_2       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"

static void check_ok(struct peer *client, const char *body)
{
    check_has(peer_head(client), "HTTP/1.1 200 OK\r\n");
    ck_assert_str_eq(peer_bytes(client, strlen(body)), body);
}

/* A client whose first request was served by a connection that is kept. */
static struct peer *with_kept(struct scene *it, struct peer **up)
{
    struct peer *client = client_open(it, 0);

    peer_says(client, GET("/first"));
    *up = upstream_accept(it, 0);
    check_has(peer_head(*up), "GET /first HTTP/1.1\r\n");
    peer_says(*up, OK_2);
    check_ok(client, "ok");
    return client;
}

/* -- the story -------------------------------------------------------- */

START_TEST(a_request_is_forwarded_and_answered)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;
    const char *head;

    peer_says(client, "GET /a/../b?q=1 HTTP/1.1\r\nHost: app\r\nX-One: 1\r\n"
                      "Connection: x-two\r\nX-Two: 2\r\n\r\n");
    up = upstream_accept(it, 0);
    head = peer_head(up);
    check_has(head, "GET /b?q=1 HTTP/1.1\r\n");
    check_has(head, "X-One: 1\r\n");
    check_lacks(head, "X-Two");
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Three: 3\r\nConnection: x-four\r\n"
                  "X-Four: 4\r\n\r\nok");
    head = peer_head(client);
    check_has(head, "HTTP/1.1 200 OK\r\n");
    check_has(head, "X-Three: 3\r\n");
    check_has(head, "date: ");
    check_lacks(head, "X-Four");
    ck_assert_str_eq(peer_bytes(client, 2), "ok");
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_route_answers_itself)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);

    peer_says(client, GET("/fixed"));
    check_ok(client, "fixed");
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED), 1);
    peer_says(client, GET("/fixed"));
    check_ok(client, "fixed");
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(content_for_a_route_that_answers_itself_is_skipped)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);

    peer_says(client, "POST /fixed HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\n01234");
    check_ok(client, "fixed");
    peer_says(client, "56789" GET("/fixed"));
    check_ok(client, "fixed");
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED), 2);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_kept_connection_serves_the_next_request)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *up;
    struct peer *client = with_kept(it, &up);

    for (unsigned i = 0; i < 3; i++) {
        peer_says(client, GET("/next"));
        check_has(peer_head(up), "GET /next HTTP/1.1\r\n");
        peer_says(up, OK_2);
        check_ok(client, "ok");
    }
    ck_assert(upstream_has_none(it, 0));
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 4);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_head_split_at_every_byte_is_served)
{
    static const char head[] = "GET /fixed HTTP/1.1\r\nHost: app\r\nX-A: b\r\n\r\n";
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);

    for (size_t i = 1; i + 1 < sizeof(head); i++) {
        peer_sends(client, head, i);
        loop_turns(it->worker->loop, 2);
        peer_says(client, head + i);
        check_ok(client, "fixed");
    }
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- pipelining --------------------------------------------------------- */

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/1") GET("/2") GET("/fixed") GET("/3"));
    up = upstream_accept(it, 0);
    check_has(peer_head(up), "GET /1 ");
    ck_assert(peer_is_quiet(up));
    ck_assert(peer_is_quiet(client));
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    check_ok(client, "one");
    check_has(peer_head(up), "GET /2 ");
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    check_ok(client, "two");
    check_ok(client, "fixed");
    check_has(peer_head(up), "GET /3 ");
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree");
    check_ok(client, "three");
    ck_assert(upstream_has_none(it, 0));
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* More than the largest block, left unread behind a request that takes its time. */
START_TEST(many_pipelined_bytes_lose_nothing)
{
    enum { N = 2500 };
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;
    static char all[N * 80];
    size_t n = 0;

    for (unsigned i = 0; i < N; i++) {
        n += (size_t)snprintf(all + n, sizeof(all) - n,
                              "GET /fixed HTTP/1.1\r\nHost: app\r\nX-N: %u\r\n\r\n", i);
    }
    peer_says(client, GET("/slow"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_sends(client, all, n);
    loop_turns(it->worker->loop, 5);
    peer_says(up, OK_2);
    check_ok(client, "ok");
    for (unsigned i = 0; i < N; i++) {
        check_ok(client, "fixed");
    }
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED), N);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* The same, with a head and all others in one read: the lent buffer is full again and again. */
START_TEST(a_burst_of_requests_is_answered_whole)
{
    enum { N = 8000 };
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    static char all[N * 45];
    size_t n = 0;

    for (unsigned i = 0; i < N; i++) {
        n += (size_t)snprintf(all + n, sizeof(all) - n, GET("/fixed"));
    }
    peer_sends(client, all, n);
    for (unsigned i = 0; i < N; i++) {
        check_ok(client, "fixed");
    }
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED), N);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- content ------------------------------------------------------------- */

START_TEST(a_response_with_a_length_ends_with_its_last_byte)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Le");
    loop_turns(it->worker->loop, 3);
    peer_says(up, "ngth: 10\r\n\r\n01234");
    check_has(peer_head(client), "Content-Length: 10\r\n");
    ck_assert_str_eq(peer_bytes(client, 5), "01234");
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 0);
    peer_says(up, "56789");
    ck_assert_str_eq(peer_bytes(client, 5), "56789");
    scene_await_end(it, REASON_COMPLETED, 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(chunked_content_passes_both_ways_with_trailers)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5;ext=1\r\nhello\r\n");
    up = upstream_accept(it, 0);
    check_has(peer_head(up), "ransfer-");
    ck_assert_str_eq(peer_until(up, "hello\r\n"), "5\r\nhello\r\n");
    peer_says(client, "0\r\nX-Sum: 1\r\n\r\n");
    check_has(peer_until(up, "\r\n\r\n"), "0\r\n");
    peer_says(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    check_has(peer_head(client), "ransfer-");
    ck_assert_str_eq(peer_until(client, "one\r\n"), "3\r\none\r\n");
    peer_says(up, "3\r\ntwo\r\n0\r\nX-Sum: 2\r\n\r\n");
    ck_assert_str_eq(peer_until(client, "two\r\n"), "3\r\ntwo\r\n");
    check_has(peer_until(client, "\r\n\r\n"), "0\r\n");
    scene_await_end(it, REASON_COMPLETED, 1);
    /* All is read to its end: both connections serve on. */
    peer_says(client, GET("/next"));
    check_has(peer_head(up), "GET /next ");
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(content_until_the_close_becomes_chunked)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\n\r\nall of it");
    check_has(peer_head(client), "ransfer-");
    peer_until(client, "all of it\r\n");
    peer_close(up);
    ck_assert_str_eq(peer_until(client, "0\r\n\r\n"), "0\r\n\r\n");
    scene_await_end(it, REASON_COMPLETED, 1);
    peer_says(client, GET("/fixed"));
    check_ok(client, "fixed");
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(an_http_1_0_client_gets_plain_content_and_the_close)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "GET / HTTP/1.0\r\nHost: app\r\n\r\n");
    up = upstream_accept(it, 0);
    check_has(peer_head(up), "GET / HTTP/1.1\r\n");
    peer_says(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n");
    check_lacks(peer_head(client), "ransfer-");
    ck_assert_str_eq(peer_end(client), "one");
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(responses_without_content_keep_both_connections)
{
    static const char *const rows[][2] = {
        {"HEAD / HTTP/1.1\r\nHost: app\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nHost: app\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {GET("/"), NO_CONTENT},
        {GET("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
        {GET("/"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    };
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *up;
    struct peer *client = with_kept(it, &up);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *head;

        peer_says(client, rows[i][0]);
        peer_head(up);
        peer_says(up, rows[i][1]);
        head = peer_head(client);
        ck_assert_int_eq(strncmp(head, rows[i][1], 12), 0);
        if (text_has(rows[i][1], "Length: 1000"))
            check_has(head, "1000\r\n");
        ck_assert(peer_is_quiet(client));
        scene_await_end(it, REASON_COMPLETED, i + 2);
    }
    ck_assert(upstream_has_none(it, 0));
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(head_of_a_fixed_answer_has_its_length_only)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);

    peer_says(client, "HEAD /fixed HTTP/1.1\r\nHost: app\r\n\r\n");
    check_has(peer_head(client), "ength: 5\r\n");
    ck_assert(peer_is_quiet(client));
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(interim_responses_pass_before_the_final_one)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\n"
                      "Content-Length: 5\r\n\r\n");
    up = upstream_accept(it, 0);
    check_has(peer_head(up), "100-continue\r\n");
    peer_says(up, "HTTP/1.1 100 Continue\r\n\r\n");
    check_has(peer_head(client), "HTTP/1.1 100 ");
    peer_says(client, "hello");
    ck_assert_str_eq(peer_bytes(up, 5), "hello");
    peer_says(up, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK_2);
    check_has(peer_head(client), "HTTP/1.1 103 ");
    check_ok(client, "ok");
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(an_early_response_passes_and_the_rest_of_the_request_is_skipped)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\n01234");
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_bytes(up, 5);
    peer_says(up, OK_2);
    check_ok(client, "ok");
    /* A connection in the middle of a request is of no more use. */
    ck_assert_str_eq(peer_end(up), "");
    peer_says(client, "56789" GET("/fixed"));
    check_ok(client, "fixed");
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- backpressure ----------------------------------------------------------- */

static char pattern[4 * 1024 * 1024];

static void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)('a' + (i * 7 + i / 251 + i / 65521) % 26);
    }
}

struct feeding {
    struct peer *from, *to;
    const char *next;
    size_t left, await, step;
};

/* Offer all that is taken, and read step bytes a turn at the other end. */
static bool feeding_done(void *feeding_)
{
    struct feeding *feeding = feeding_;
    ssize_t n = send(feeding->from->fd, feeding->next, feeding->left, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0) {
        feeding->next += n;
        feeding->left -= (size_t)n;
    }
    peer_pull(feeding->to, feeding->step);
    return feeding->to->n >= feeding->await;
}

static void feed(struct peer *from, struct peer *to, size_t n)
{
    struct feeding feeding = {from, to, pattern, n, n, 10000};

    loop_until(from->scene->worker->loop, feeding_done, &feeding);
    ck_assert_int_eq(memcmp(peer_take(to, n), pattern, n), 0);
}

START_TEST(a_slow_client_gets_every_byte)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 20000);
    struct peer *up;

    fill_pattern();
    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
    peer_head(client);
    feed(up, client, sizeof(pattern));
    scene_await_end(it, REASON_COMPLETED, 1);
    /* What waits is bounded, whatever the content. */
    ck_assert_uint_lt(slab_bytes(&it->worker->loop->blocks), 1024 * 1024);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* Offer all that is taken, until nothing has been for a while. */
static bool is_stuck(void *feeding_)
{
    struct feeding *feeding = feeding_;
    ssize_t n = send(feeding->from->fd, pattern, sizeof(pattern), MSG_DONTWAIT | MSG_NOSIGNAL);

    feeding->step = n > 0 ? 0 : feeding->step + 1;
    return feeding->step == 50;
}

/* What the kernel has not taken for the other side, where a read has brought more than that. */
static void check_little_waits(struct scene *it)
{
    ck_assert_uint_le(slab_look(&it->worker->loop->blocks).used, 3);
    ck_assert_uint_eq(slab_look(&it->worker->loop->large_blocks).used, 0);
}

START_TEST(a_client_that_reads_nothing_is_read_little_for)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 20000);
    struct feeding feeding = {0};
    struct peer *up;

    fill_pattern();
    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n");
    feeding.from = up;
    loop_until(it->worker->loop, is_stuck, &feeding);
    check_little_waits(it);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(an_upstream_that_reads_nothing_is_read_little_for)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct feeding feeding = {.from = client};
    struct peer *up;

    fill_pattern();
    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 999999999\r\n\r\n");
    up = upstream_accept(it, 0);
    loop_until(it->worker->loop, is_stuck, &feeding);
    check_little_waits(it);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_slow_upstream_gets_every_byte)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    fill_pattern();
    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 4194304\r\n\r\n");
    up = upstream_accept(it, 0);
    peer_head(up);
    feed(client, up, sizeof(pattern));
    peer_says(up, OK_2);
    check_ok(client, "ok");
    ck_assert_uint_lt(slab_bytes(&it->worker->loop->blocks), 1024 * 1024);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- tries ------------------------------------------------------------------ */

START_TEST(a_stale_connection_is_tried_again_once)
{
    struct scene *it = scene_open((struct scene_conf){.upstream = "retry: { on: [ connect ] }"});
    struct peer *up, *next;
    struct peer *client = with_kept(it, &up);
    struct upstream_counters *counters =
        tally_slot(tally_get(it->tally, UPSTREAM_TALLY, SPAN("app"), sizeof(*counters)), 0);

    peer_says(client, GET("/again"));
    peer_head(up);
    peer_close(up);
    next = upstream_accept(it, 0);
    check_has(peer_head(next), "GET /again ");
    ck_assert_uint_eq(counter_get(&counters->retries[UPSTREAM_RETRY_STALE]), 1);
    peer_close(next); /* a new connection that ends is a failure */
    check_has(peer_head(client), "HTTP/1.1 502 ");
    ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_CLOSED), 1);
    ck_assert(upstream_has_none(it, 0));
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(what_is_not_idempotent_is_not_sent_twice)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *up;
    struct peer *client = with_kept(it, &up);

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n");
    peer_head(up);
    peer_close(up);
    check_has(peer_head(client), "HTTP/1.1 502 ");
    ck_assert(upstream_has_none(it, 0));
    ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_CLOSED), 1);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_kept_connection_that_has_ended_is_not_used)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *up, *next;
    struct peer *client = with_kept(it, &up);

    peer_close(up);
    loop_turns(it->worker->loop, 3);
    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\nhi");
    next = upstream_accept(it, 0);
    peer_head(next);
    ck_assert_str_eq(peer_bytes(next, 2), "hi");
    peer_says(next, OK_2);
    check_ok(client, "ok");
    peer_close(next);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_dead_endpoint_is_passed_over)
{
    struct scene *it = scene_open((struct scene_conf){.endpoints = 2, .dead_first = true});
    struct peer *client = client_open(it, 0);

    for (unsigned i = 0; i < 2; i++) { /* in turn: the dead one comes first once */
        struct peer *up;

        peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\nhi");
        up = upstream_accept(it, 1);
        peer_head(up);
        ck_assert_str_eq(peer_bytes(up, 2), "hi");
        peer_says(up, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        check_ok(client, "ok");
        peer_close(up);
    }
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 2);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(all_dead_endpoints_are_a_bad_gateway)
{
    struct scene *it = scene_open((struct scene_conf){.dead_first = true});
    struct peer *client = client_open(it, 0);

    peer_says(client, GET("/"));
    check_has(peer_head(client), "HTTP/1.1 502 ");
    check_has(peer_until(client, "}\n"), "\"reason\":\"connect_failed\"");
    ck_assert_uint_eq(scene_ends(it, REASON_CONNECT_FAILED), 1);
    peer_says(client, GET("/fixed"));
    check_ok(client, "fixed");
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- ends out of order ---------------------------------------------------------- */

START_TEST(a_cut_response_is_never_made_to_look_whole)
{
    static const struct {
        const char *response, *seen;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", "01234"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", "5\r\n01234\r\n"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n",
         "5\r\n01234\r\n"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene *it = scene_open((struct scene_conf){.listener = ""});
        struct peer *client = client_open(it, 0);
        struct peer *up;

        peer_says(client, GET("/"));
        up = upstream_accept(it, 0);
        peer_head(up);
        peer_says(up, rows[i].response);
        peer_head(client);
        peer_until(client, rows[i].seen);
        peer_close(up);
        ck_assert_str_eq(peer_end(client), "");
        ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_CLOSED), 1);
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

START_TEST(an_http_1_0_client_sees_a_cut_as_a_reset)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "GET / HTTP/1.0\r\nHost: app\r\n\r\n");
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n");
    peer_until(client, "01234");
    peer_close(up);
    peer_end(client);
    ck_assert(client->reset);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_malformed_response_is_a_bad_gateway)
{
    static const char *const rows[] = {
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene *it = scene_open((struct scene_conf){.listener = ""});
        struct peer *client = client_open(it, 0);
        struct peer *up;

        peer_says(client, GET("/"));
        up = upstream_accept(it, 0);
        peer_head(up);
        peer_says(up, rows[i]);
        check_has(peer_head(client), "HTTP/1.1 502 ");
        ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_PROTOCOL), 1);
        peer_end(up);
        peer_close(up);
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

START_TEST(too_much_content_is_refused)
{
    struct scene *it = scene_open((struct scene_conf){.listener = "limits: { body: 8 }"});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 9\r\n\r\n012345678");
    check_has(peer_head(client), "HTTP/1.1 413 ");
    peer_until(client, "}\n");
    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 8\r\n\r\n01234567");
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_bytes(up, 8);
    peer_says(up, OK_2);
    check_ok(client, "ok");
    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "8\r\n01234567\r\n");
    peer_until(up, "01234567");
    peer_says(client, "1\r\n8\r\n0\r\n\r\n");
    check_has(peer_head(client), "HTTP/1.1 413 ");
    peer_end(up);
    ck_assert_uint_eq(scene_ends(it, REASON_BODY_TOO_LARGE), 2);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(response_timeout_is_a_gateway_timeout)
{
    struct scene *it = scene_open((struct scene_conf){.upstream = "timeout: { response: 10ms }"});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    check_has(peer_head(client), "HTTP/1.1 504 ");
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONSE_TIMEOUT), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(total_timeout_answers_or_cuts)
{
    struct scene *it = scene_open((struct scene_conf){.upstream = "timeout: { total: 150ms }"});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    check_has(peer_head(client), "HTTP/1.1 504 ");
    peer_until(client, "}\n");
    ck_assert_uint_eq(scene_ends(it, REASON_TOTAL_TIMEOUT), 1);
    peer_close(up);
    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    check_has(peer_head(client), "HTTP/1.1 200 ");
    ck_assert_str_eq(peer_end(client), "01234");
    ck_assert_uint_eq(scene_ends(it, REASON_TOTAL_TIMEOUT), 2);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* The upstream is done, the client does not take it all: it did not complete. */
START_TEST(total_timeout_of_a_client_that_does_not_read_is_told_as_one)
{
    struct scene *it = scene_open((struct scene_conf){.upstream = "timeout: { total: 200ms }"});
    struct peer *client = client_open(it, 20000);
    struct peer *up;

    fill_pattern();
    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    peer_head(client);
    /* Sends until nothing moves any more, then ends. */
    for (unsigned quiet = 0; quiet < 20; quiet++) {
        if (send(up->fd, pattern, 100000, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            quiet = 0;
        loop_turns(it->worker->loop, 2);
    }
    scene_await_end(it, REASON_TOTAL_TIMEOUT, 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_client_that_leaves_ends_its_exchange)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_close(client);
    peer_end(up);
    ck_assert_uint_eq(scene_ends(it, REASON_CLIENT_CLOSED), 1);
    peer_close(up);
    scene_close(it);
}
END_TEST

START_TEST(a_client_that_ends_its_side_may_be_served_on)
{
    struct scene *it = scene_open((struct scene_conf){.listener = "half_close: allow"});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, GET("/"));
    ck_assert_int_eq(shutdown(client->fd, SHUT_WR), 0);
    up = upstream_accept(it, 0);
    peer_head(up);
    loop_turns(it->worker->loop, 3);
    peer_says(up, OK_2);
    check_ok(client, "ok");
    ck_assert_str_eq(peer_end(client), "");
    ck_assert(!client->reset);
    ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

/* -- connections to the upstream --------------------------------------------------- */

START_TEST(a_full_upstream_without_a_queue_is_unavailable)
{
    struct scene *it =
        scene_open((struct scene_conf){.upstream = "connections: { max: 1, queue: 0 }"});
    struct peer *first = client_open(it, 0);
    struct peer *second = client_open(it, 0);
    struct peer *up;

    peer_says(first, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(second, GET("/"));
    check_has(peer_head(second), "HTTP/1.1 503 ");
    ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_FULL), 1);
    peer_says(up, OK_2);
    check_ok(first, "ok");
    peer_close(up);
    peer_close(first);
    peer_close(second);
    scene_close(it);
}
END_TEST

START_TEST(who_waits_gets_the_connection_that_comes_back)
{
    struct scene *it = scene_open((struct scene_conf){.upstream = "connections: { max: 1 }"});
    struct peer *first = client_open(it, 0);
    struct peer *second = client_open(it, 0);
    struct peer *up;

    peer_says(first, GET("/1"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(second, "POST /2 HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\nhi");
    ck_assert(peer_is_quiet(second));
    peer_says(up, OK_2);
    check_ok(first, "ok");
    check_has(peer_head(up), "POST /2 ");
    ck_assert_str_eq(peer_bytes(up, 2), "hi");
    peer_says(up, OK_2);
    check_ok(second, "ok");
    ck_assert(upstream_has_none(it, 0));
    peer_close(up);
    peer_close(first);
    peer_close(second);
    scene_close(it);
}
END_TEST

START_TEST(queue_timeout_is_unavailable)
{
    struct scene *it =
        scene_open((struct scene_conf){.upstream = "connections: { max: 1, queue_timeout: 20ms }"});
    struct peer *first = client_open(it, 0);
    struct peer *second = client_open(it, 0);
    struct peer *up;

    peer_says(first, GET("/"));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(second, GET("/"));
    check_has(peer_head(second), "HTTP/1.1 503 ");
    ck_assert_uint_eq(scene_ends(it, REASON_QUEUE_TIMEOUT), 1);
    peer_close(up);
    peer_close(first);
    peer_close(second);
    scene_close(it);
}
END_TEST

/* -- tunnels -------------------------------------------------------------- */

#define UPGRADE(more)                                                                              \
    "GET /chat HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: h2c, "                     \
    "WebSocket\r\n\r\n" more
#define SWITCH(more)                                                                               \
    "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-A: b\r\n\r\n" more

static uint64_t tunnels(const struct scene *it)
{
    return counter_get(&it->worker->counters.tunnels);
}

static struct peer *open_tunnel(struct scene *it, struct peer *client)
{
    struct peer *up;
    const char *head;

    peer_says(client, UPGRADE("early"));
    up = upstream_accept(it, 0);
    head = peer_head(up);
    check_has(head, "Connection: Upgrade\r\nUpgrade: WebSocket\r\n");
    ck_assert(peer_is_quiet(up)); /* it may be the next request yet */
    peer_says(up, SWITCH("first"));
    head = peer_head(client);
    check_has(head, "HTTP/1.1 101 Go\r\n");
    check_has(head, "X-A: b\r\n");
    check_has(head, "Connection: Upgrade\r\nUpgrade: WebSocket\r\n");
    ck_assert_str_eq(peer_bytes(client, 5), "first");
    ck_assert_str_eq(peer_bytes(up, 5), "early");
    ck_assert_uint_eq(tunnels(it), 1);
    return up;
}

static void end_side(struct peer *peer, struct peer *other)
{
    ck_assert_int_eq(shutdown(peer->fd, SHUT_WR), 0);
    ck_assert_str_eq(peer_end(other), "");
    ck_assert(!other->reset);
}

START_TEST(a_tunnel_ends_when_both_sides_have_ended)
{
    for (int client_first = 0; client_first < 2; client_first++) {
        struct scene *it = scene_open((struct scene_conf){.listener = ""});
        struct peer *client = client_open(it, 0);
        struct peer *up = open_tunnel(it, client);
        struct peer *one = client_first ? client : up, *other = client_first ? up : client;

        peer_says(other, "0\r\n\r\n");
        ck_assert_str_eq(peer_bytes(one, 5), "0\r\n\r\n");
        end_side(one, other);
        peer_says(other, "still");
        ck_assert_str_eq(peer_bytes(one, 5), "still");
        ck_assert_uint_eq(scene_ends(it, REASON_COMPLETED), 0);
        end_side(other, one);
        scene_await_end(it, REASON_COMPLETED, 1);
        ck_assert_uint_eq(tunnels(it), 0);
        peer_close(up);
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

START_TEST(a_reset_cuts_a_tunnel)
{
    struct linger now = {.l_onoff = 1};

    for (int of_client = 0; of_client < 2; of_client++) {
        struct scene *it = scene_open((struct scene_conf){.listener = ""});
        struct peer *client = client_open(it, 0);
        struct peer *up = open_tunnel(it, client);
        struct peer *one = of_client ? client : up, *other = of_client ? up : client;

        ck_assert_int_eq(setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        peer_close(one);
        peer_end(other);
        ck_assert(other->reset);
        scene_await_end(it, of_client ? REASON_CLIENT_RESET : REASON_UPSTREAM_RESET, 1);
        ck_assert_uint_eq(tunnels(it), 0);
        peer_close(other);
        scene_close(it);
    }
}
END_TEST

START_TEST(a_quiet_tunnel_is_cut)
{
    static const char *const times[] = {"timeout: { tunnel: 30ms, response: 10ms, idle: 10ms }",
                                        "timeout: { tunnel_max: 30ms, total: 10s }"};

    for (size_t i = 0; i < 2; i++) {
        struct scene *it = scene_open((struct scene_conf){.upstream = times[i]});
        struct peer *client = client_open(it, 0);
        struct peer *up;

        peer_says(client, UPGRADE(""));
        up = upstream_accept(it, 0);
        peer_head(up);
        peer_says(up, SWITCH(""));
        peer_head(client);
        end_side(client, up); /* a half that is open is still one */
        peer_end(client);
        ck_assert(client->reset);
        scene_await_end(it, REASON_TUNNEL_TIMEOUT, 1);
        peer_close(up);
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

START_TEST(an_upgrade_that_is_not_granted_is_a_plain_exchange)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, UPGRADE(GET("/next")));
    up = upstream_accept(it, 0);
    peer_head(up);
    peer_says(up, OK_2);
    check_ok(client, "ok");
    check_lacks(peer_head(up), "Upgrade");
    peer_says(up, SWITCH(""));
    check_has(peer_head(client), "HTTP/1.1 502 ");
    ck_assert_uint_eq(scene_ends(it, REASON_UPSTREAM_PROTOCOL), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

UNIT_MAIN("proxy/exchange", a_tunnel_ends_when_both_sides_have_ended, a_reset_cuts_a_tunnel,
          a_quiet_tunnel_is_cut, an_upgrade_that_is_not_granted_is_a_plain_exchange,
          a_request_is_forwarded_and_answered, a_route_answers_itself,
          content_for_a_route_that_answers_itself_is_skipped,
          a_kept_connection_serves_the_next_request, a_head_split_at_every_byte_is_served,
          pipelined_requests_are_answered_in_order, many_pipelined_bytes_lose_nothing,
          a_burst_of_requests_is_answered_whole, a_response_with_a_length_ends_with_its_last_byte,
          chunked_content_passes_both_ways_with_trailers, content_until_the_close_becomes_chunked,
          an_http_1_0_client_gets_plain_content_and_the_close,
          responses_without_content_keep_both_connections,
          head_of_a_fixed_answer_has_its_length_only, interim_responses_pass_before_the_final_one,
          an_early_response_passes_and_the_rest_of_the_request_is_skipped,
          a_client_that_reads_nothing_is_read_little_for,
          an_upstream_that_reads_nothing_is_read_little_for, a_slow_client_gets_every_byte,
          a_slow_upstream_gets_every_byte, a_stale_connection_is_tried_again_once,
          what_is_not_idempotent_is_not_sent_twice, a_kept_connection_that_has_ended_is_not_used,
          a_dead_endpoint_is_passed_over, all_dead_endpoints_are_a_bad_gateway,
          a_cut_response_is_never_made_to_look_whole, an_http_1_0_client_sees_a_cut_as_a_reset,
          a_malformed_response_is_a_bad_gateway, too_much_content_is_refused,
          response_timeout_is_a_gateway_timeout, total_timeout_answers_or_cuts,
          total_timeout_of_a_client_that_does_not_read_is_told_as_one,
          a_client_that_leaves_ends_its_exchange, a_client_that_ends_its_side_may_be_served_on,
          a_full_upstream_without_a_queue_is_unavailable,
          who_waits_gets_the_connection_that_comes_back, queue_timeout_is_unavailable)
