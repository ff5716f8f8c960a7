#include "net/fetch.h"

#include "core/loop.h"

#include "unit.h"
#include "until.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PEERS = 4, GOT_BYTES = 8192 };

/* What one fetch was told. */
struct told {
    unsigned n;
    enum err err;
    unsigned status;
    bool connected;
    char parts[64], body[256], first[64], second[64], why[256];
    bool has_second;
    struct fetch **cancel; /* from inside done; NULL: nothing */
};

/* A listening socket of the test and what came over its connections. */
struct scene {
    struct loop *loop;
    struct fetcher *fetcher;
    int listener;
    int peer[PEERS];
    unsigned n_peers;
    char got[PEERS][GOT_BYTES];
    char url[64];
    const char *answer; /* to each whole head */
    unsigned n_answered;
    struct told told;
};

static void on_done(void *told_, const struct fetch_answer *answer)
{
    struct told *told = told_;

    told->n++;
    told->err = answer->err;
    told->status = answer->status;
    told->connected = answer->connected;
    told->has_second = answer->field[1].ptr != NULL;
    snprintf(told->body, sizeof(told->body), "%.*s", (int)answer->body.len,
             answer->body.len ? answer->body.ptr : "");
    snprintf(told->first, sizeof(told->first), "%.*s", (int)answer->field[0].len,
             answer->field[0].ptr ? answer->field[0].ptr : "");
    snprintf(told->second, sizeof(told->second), "%.*s", (int)answer->field[1].len,
             answer->field[1].ptr ? answer->field[1].ptr : "");
    snprintf(told->why, sizeof(told->why), "%s", answer->why);
    if (told->cancel)
        fetch_cancel(told->cancel);
}

static void set_up(struct scene *it, unsigned max_connections)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);

    memset(it, 0, sizeof(*it));
    it->loop = loop_new();
    it->fetcher = fetcher_new(it->loop, max_connections);
    it->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(it->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(it->listener, 16), 0);
    ck_assert_int_eq(getsockname(it->listener, (struct sockaddr *)&addr, &len), 0);
    snprintf(it->url, sizeof(it->url), "http://127.0.0.1:%u/path?q=1", ntohs(addr.sin_port));
    it->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-First: one\r\n\r\nhello";
}

static void tear_down(struct scene *it)
{
    fetcher_free(&it->fetcher);
    for (unsigned i = 0; i < it->n_peers; i++)
        close(it->peer[i]);
    close(it->listener);
    loop_free(&it->loop);
}

/* Accept, read, and answer each whole head once. */
static void serve(struct scene *it)
{
    int fd = it->n_peers < PEERS ? accept4(it->listener, NULL, NULL, SOCK_NONBLOCK) : -1;

    if (fd >= 0)
        it->peer[it->n_peers++] = fd;
    for (unsigned i = 0; i < it->n_peers; i++) {
        size_t len = strlen(it->got[i]);
        ssize_t n = read(it->peer[i], it->got[i] + len, GOT_BYTES - 1 - len);

        if (n <= 0 || !it->answer || !strstr(it->got[i] + len, "\r\n\r\n"))
            continue;
        ck_assert_int_gt(write(it->peer[i], it->answer, strlen(it->answer)), 0);
        it->n_answered++;
    }
}

static bool is_told(void *it_)
{
    struct scene *it = it_;

    serve(it);
    return it->told.n > 0;
}

static bool is_accepted(void *it_)
{
    struct scene *it = it_;

    serve(it);
    return it->n_peers > 0 && it->got[it->n_peers - 1][0];
}

static const char *const wanted[] = {"x-first", "grpc-status"};

static struct fetch_request request_of(struct scene *it)
{
    return (struct fetch_request){.url = it->url,
                                  .wanted = wanted,
                                  .n_wanted = 2,
                                  .connect_ms = 2000,
                                  .total_ms = 2500,
                                  .max_bytes = 100,
                                  .done = on_done,
                                  .arg = &it->told};
}

static void ask(struct scene *it, const struct fetch_request *request)
{
    memset(&it->told, 0, sizeof(it->told));
    fetch_start(it->fetcher, request);
    ck_assert_uint_eq(it->told.n, 0); /* never from inside */
    loop_until(it->loop, is_told, it);
    ck_assert_uint_eq(it->told.n, 1);
    ck_assert_uint_eq(fetcher_count(it->fetcher), 0);
}

START_TEST(an_answer_is_told_once_with_what_was_wanted)
{
    struct scene it;
    const struct fetch_field fields[] = {{"X-Consul-Token", SPAN("secret")}, {"X-Empty", SPAN("")}};
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.fields = fields;
    request.n_fields = 2;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, OK);
    ck_assert_str_eq(it.told.why, "");
    ck_assert_uint_eq(it.told.status, 200);
    ck_assert_str_eq(it.told.body, "hello");
    ck_assert_str_eq(it.told.first, "one");
    ck_assert(!it.told.has_second);
    ck_assert(it.told.connected);
    ck_assert_ptr_nonnull(strstr(it.got[0], "GET /path?q=1 HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(it.got[0], "\r\nX-Consul-Token: secret\r\n"));
    ck_assert_ptr_nonnull(strstr(it.got[0], "\r\nX-Empty:\r\n"));
    tear_down(&it);
}
END_TEST

START_TEST(a_connection_serves_again_but_not_who_wants_a_fresh_one)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    ask(&it, &request);
    ask(&it, &request);
    ck_assert(!it.told.connected);
    ck_assert_uint_eq(it.n_peers, 1);
    request.fresh = true;
    ask(&it, &request);
    ck_assert(it.told.connected);
    ck_assert_uint_eq(it.n_peers, 2);
    tear_down(&it);
}
END_TEST

START_TEST(a_body_and_a_method_are_sent_as_given)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.method = "PUT";
    request.body = SPAN("a\0b");
    ask(&it, &request);
    ck_assert_ptr_nonnull(strstr(it.got[0], "PUT /path?q=1 HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(it.got[0], "\r\nContent-Length: 3\r\n"));
    ck_assert_ptr_null(strstr(it.got[0], "Content-Type"));
    ck_assert_ptr_null(strstr(it.got[0], "Expect"));
    tear_down(&it);
}
END_TEST

START_TEST(trailers_count_as_fields_and_interim_heads_do_not)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    it.answer = "HTTP/1.1 103 Early Hints\r\nX-First: early\r\n\r\n"
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n"
                "2\r\nhi\r\n0\r\ngrpc-status: 7\r\n\r\n";
    request = request_of(&it);
    ask(&it, &request);
    ck_assert_str_eq(it.told.body, "hi");
    ck_assert_str_eq(it.told.first, "");
    ck_assert_str_eq(it.told.second, "7");
    tear_down(&it);
}
END_TEST

START_TEST(a_body_over_the_limit_is_an_error)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.max_bytes = 4;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_LIMIT);
    ck_assert_str_eq(it.told.why, "the body is longer than 4 bytes");
    tear_down(&it);
}
END_TEST

static void on_part(void *told_, const struct fetch_answer *answer, struct sluice_span piece)
{
    struct told *told = told_;
    size_t len = strlen(told->parts);

    ck_assert_uint_eq(told->n, 0);
    ck_assert_uint_eq(answer->status, 200);
    ck_assert(span_equal(answer->field[0], SPAN("one")));
    snprintf(told->parts + len, sizeof(told->parts) - len, "%.*s", (int)piece.len, piece.ptr);
}

START_TEST(a_body_is_told_in_parts_and_not_kept)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.part = on_part;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, OK);
    ck_assert_str_eq(it.told.parts, "hello");
    ck_assert_str_eq(it.told.body, "");
    request.max_bytes = 4;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_LIMIT);
    ck_assert_str_eq(it.told.parts, "");
    tear_down(&it);
}
END_TEST

START_TEST(a_head_without_end_is_an_error)
{
    struct scene it;
    struct fetch_request request;
    char *long_head = malloc(200000);

    set_up(&it, 4);
    strcpy(long_head, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 1000; i++)
        sprintf(long_head + strlen(long_head), "X-Filler-%03u: %099u\r\n", i, i);
    it.answer = long_head;
    request = request_of(&it);
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_LIMIT);
    tear_down(&it);
    free(long_head);
}
END_TEST

START_TEST(a_cut_answer_is_an_error)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    it.answer = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    request = request_of(&it);
    fetch_start(it.fetcher, &request);
    while (it.n_answered == 0)
        loop_until(it.loop, is_accepted, &it);
    close(it.peer[0]);
    it.n_peers = 0;
    loop_until(it.loop, is_told, &it);
    ck_assert_int_eq(it.told.err, ERR_CLOSED);
    tear_down(&it);
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    it.answer = NULL;
    request = request_of(&it);
    request.total_ms = 30;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_TIMEOUT);
    ck_assert_uint_eq(it.told.status, 0);
    ck_assert_str_eq(it.told.why, "no whole answer in time");
    tear_down(&it);
}
END_TEST

START_TEST(the_deadline_counts_while_waiting_for_a_connection)
{
    struct scene it;
    struct fetch_request request;
    struct told first = {.n = 0};
    struct fetch *fetch;

    set_up(&it, 1);
    it.answer = NULL;
    request = request_of(&it);
    request.arg = &first;
    fetch = fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_accepted, &it);
    request.arg = &it.told;
    request.total_ms = 30;
    fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_told, &it);
    ck_assert_int_eq(it.told.err, ERR_TIMEOUT);
    ck_assert_uint_eq(it.n_peers, 1);
    ck_assert_uint_eq(first.n, 0);
    fetch_cancel(&fetch);
    ck_assert_uint_eq(fetcher_count(it.fetcher), 0);
    tear_down(&it);
}
END_TEST

START_TEST(who_waits_gets_the_connection_that_becomes_free)
{
    struct scene it;
    struct fetch_request request;
    struct told first = {.n = 0};

    set_up(&it, 1);
    request = request_of(&it);
    request.arg = &first;
    fetch_start(it.fetcher, &request);
    request.arg = &it.told;
    fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_told, &it);
    ck_assert_uint_eq(first.n, 1);
    ck_assert_int_eq(it.told.err, OK);
    ck_assert_uint_eq(it.n_peers, 1);
    tear_down(&it);
}
END_TEST

START_TEST(a_cancelled_fetch_is_never_told)
{
    struct scene it;
    struct fetch_request request;
    struct told other = {.n = 0};
    struct fetch *fetch;

    set_up(&it, 4);
    it.answer = NULL;
    request = request_of(&it);
    request.arg = &other;
    fetch = fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_accepted, &it);
    fetch_cancel(&fetch);
    ck_assert_ptr_null(fetch);
    fetch_cancel(&fetch);
    loop_turns(it.loop, 20);
    ck_assert_uint_eq(other.n, 0);
    tear_down(&it);
}
END_TEST

START_TEST(done_may_cancel_another_and_itself)
{
    struct scene it;
    struct fetch_request request;
    struct told other = {.n = 0};
    struct fetch *fetches[2];

    set_up(&it, 4);
    request = request_of(&it);
    fetches[0] = fetch_start(it.fetcher, &request);
    request.arg = &other;
    it.told.cancel = &fetches[1];
    other.cancel = &fetches[0];
    fetches[1] = fetch_start(it.fetcher, &request);
    loop_turns(it.loop, 2);
    while (it.told.n + other.n == 0)
        loop_until(it.loop, is_accepted, &it);
    loop_turns(it.loop, 20);
    ck_assert_uint_eq(it.told.n + other.n, 1);
    memset(&it.told, 0, sizeof(it.told));
    request.arg = &it.told;
    it.told.cancel = &fetches[0];
    fetches[0] = fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_told, &it);
    ck_assert_ptr_null(fetches[0]);
    tear_down(&it);
}
END_TEST

START_TEST(the_end_cancels_what_is_under_way)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    it.answer = NULL;
    request = request_of(&it);
    fetch_start(it.fetcher, &request);
    loop_until(it.loop, is_accepted, &it);
    fetch_start(it.fetcher, &request);
    tear_down(&it);
    ck_assert_uint_eq(it.told.n, 0);
}
END_TEST

START_TEST(nobody_there_is_refused)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    close(it.listener);
    request = request_of(&it);
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_REFUSED);
    ck_assert_ptr_nonnull(strstr(it.told.why, "onnect"));
    it.listener = -1;
    tear_down(&it);
}
END_TEST

START_TEST(a_field_cannot_smuggle_another)
{
    struct scene it;
    const struct fetch_field field = {"X-One", SPAN("a\r\nX-Two: b")};
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.fields = &field;
    request.n_fields = 1;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_PROTOCOL);
    ck_assert_uint_eq(it.n_peers, 0);
    tear_down(&it);
}
END_TEST

START_TEST(other_schemes_are_refused)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    request = request_of(&it);
    request.url = "file:///etc/passwd";
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, ERR_PROTOCOL);
    ck_assert_str_eq(it.told.body, "");
    tear_down(&it);
}
END_TEST

START_TEST(a_redirect_is_an_answer)
{
    struct scene it;
    struct fetch_request request;

    set_up(&it, 4);
    it.answer = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
    request = request_of(&it);
    ask(&it, &request);
    ck_assert_uint_eq(it.told.status, 302);
    ck_assert_uint_eq(it.n_answered, 1);
    tear_down(&it);
}
END_TEST

START_TEST(the_name_of_the_url_need_not_be_where_it_connects)
{
    struct scene it;
    struct fetch_request request;
    char to[64];

    set_up(&it, 4);
    snprintf(to, sizeof(to), "127.0.0.1:%s", strrchr(it.url, ':') + 1);
    *strchr(to, '/') = '\0';
    request = request_of(&it);
    request.url = "http://orders.example/x";
    request.connect_to = to;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, OK);
    ck_assert_ptr_nonnull(strstr(it.got[0], "\r\nHost: orders.example\r\n"));
    tear_down(&it);
}
END_TEST

START_TEST(a_unix_socket_is_asked_like_any)
{
    struct scene it;
    struct fetch_request request;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char directory[] = "/tmp/fetch-test-XXXXXX";

    set_up(&it, 4);
    close(it.listener);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", directory);
    it.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(it.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(it.listener, 4), 0);
    request = request_of(&it);
    request.unix_path = addr.sun_path;
    ask(&it, &request);
    ck_assert_int_eq(it.told.err, OK);
    ck_assert_str_eq(it.told.body, "hello");
    tear_down(&it);
    unlink(addr.sun_path);
    rmdir(directory);
}
END_TEST

UNIT_MAIN("net/fetch", an_answer_is_told_once_with_what_was_wanted,
          a_connection_serves_again_but_not_who_wants_a_fresh_one,
          a_body_and_a_method_are_sent_as_given, trailers_count_as_fields_and_interim_heads_do_not,
          a_body_over_the_limit_is_an_error, a_body_is_told_in_parts_and_not_kept,
          a_head_without_end_is_an_error, a_cut_answer_is_an_error, silence_ends_at_the_deadline,
          the_deadline_counts_while_waiting_for_a_connection,
          who_waits_gets_the_connection_that_becomes_free, a_cancelled_fetch_is_never_told,
          done_may_cancel_another_and_itself, the_end_cancels_what_is_under_way,
          nobody_there_is_refused, a_field_cannot_smuggle_another, other_schemes_are_refused,
          a_redirect_is_an_answer, the_name_of_the_url_need_not_be_where_it_connects,
          a_unix_socket_is_asked_like_any)
