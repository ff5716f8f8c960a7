/*
 * Connections of clients. Each row of the table in session.h has a test, named behind it:
 *
 *   IDLE > HEAD            a_head_that_stops_is_answered_and_the_connection_ends
 *   HEAD > EXCHANGE        the same, and what_is_no_request_is_refused
 *   EXCHANGE > IDLE        a_connection_is_kept_by_the_rules_of_its_version
 *   EXCHANGE > LINGER      what_is_no_request_is_refused
 *   any > closed           a_quiet_connection_is_closed, draining_...
 */
#include "proxy/session.h"

#include "scene.h"

START_TEST(a_session_is_small)
{
    ck_assert_uint_le(session_bytes(), 360);
}
END_TEST

START_TEST(what_is_no_request_is_refused)
{
    static const struct {
        const char *request, *status;
        enum reason reason;
    } rows[] = {
        {"garbage\r\n\r\n", "HTTP/1.1 400 ", REASON_BAD_REQUEST},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", REASON_BAD_REQUEST},
        {"GET / HTTP/1.1\r\nHost: app\r\nHost: app\r\n\r\n", "HTTP/1.1 400 ", REASON_BAD_REQUEST},
        {"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 ", REASON_BAD_REQUEST},
        {"GET / HTTP/3.0\r\nHost: app\r\n\r\n", "HTTP/1.1 505 ", REASON_VERSION_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nHost: app\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", "HTTP/1.1 431 ",
         REASON_HEAD_TOO_LARGE},
        {"GET /012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\n"
         "Host: app\r\n\r\n",
         "HTTP/1.1 414 ", REASON_TARGET_TOO_LONG},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene *it =
            scene_open((struct scene_conf){.listener = "limits: { line: 64, fields: 3 }"});
        struct peer *client = client_open(it, 0);
        const char *head;

        peer_says(client, rows[i].request);
        head = peer_head(client);
        check_has(head, rows[i].status);
        ck_assert_ptr_nonnull(strcasestr(head, "\r\nconnection: close\r\n"));
        peer_until(client, "}\n");
        ck_assert_str_eq(peer_end(client), "");
        ck_assert(!client->reset);
        ck_assert_uint_eq(scene_ends(it, rows[i].reason), 1);
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

START_TEST(what_no_route_takes_is_refused)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    const char *head;

    peer_says(client, "GET / HTTP/1.1\r\nHost: other\r\n\r\n");
    check_has(peer_head(client), "HTTP/1.1 404 ");
    peer_until(client, "}\n");
    peer_says(client, "PUT /get HTTP/1.1\r\nHost: only\r\nContent-Length: 0\r\n\r\n");
    head = peer_head(client);
    check_has(head, "HTTP/1.1 405 ");
    ck_assert_ptr_nonnull(strcasestr(head, "\r\nallow: GET"));
    peer_until(client, "}\n");
    peer_says(client, "CONNECT app:443 HTTP/1.1\r\nHost: app:443\r\n\r\n");
    check_has(peer_head(client), "HTTP/1.1 501 ");
    ck_assert_uint_eq(scene_ends(it, REASON_NOT_FOUND), 1);
    ck_assert_uint_eq(scene_ends(it, REASON_METHOD_NOT_ALLOWED), 1);
    ck_assert_uint_eq(scene_ends(it, REASON_TUNNEL_UNSUPPORTED), 1);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_head_that_stops_is_answered_and_the_connection_ends)
{
    struct scene *it = scene_open((struct scene_conf){.listener = "timeout: { head: 20ms }"});
    struct peer *client = client_open(it, 0);

    peer_says(client, "GET / HT");
    check_has(peer_head(client), "HTTP/1.1 408 ");
    peer_end(client);
    ck_assert_uint_eq(scene_ends(it, REASON_HEAD_TIMEOUT), 1);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(content_that_stops_is_answered)
{
    struct scene *it = scene_open((struct scene_conf){.listener = "timeout: { body: 20ms }"});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\n01");
    up = upstream_accept(it, 0);
    check_has(peer_head(client), "HTTP/1.1 408 ");
    peer_end(client);
    ck_assert_uint_eq(scene_ends(it, REASON_BODY_TIMEOUT), 1);
    peer_close(up);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_quiet_connection_is_closed)
{
    struct scene *it = scene_open((struct scene_conf){.listener = "timeout: { idle: 10ms }"});
    struct peer *client = client_open(it, 0);

    peer_says(client, "GET /fixed HTTP/1.1\r\nHost: app\r\n\r\n");
    peer_until(client, "fixed");
    ck_assert_str_eq(peer_end(client), "");
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_connection_is_kept_by_the_rules_of_its_version)
{
    static const struct {
        const char *request;
        bool kept;
    } rows[] = {
        {"GET /fixed HTTP/1.1\r\nHost: app\r\n\r\n", true},
        {"GET /fixed HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n", false},
        {"GET /fixed HTTP/1.0\r\nHost: app\r\n\r\n", false},
        {"GET /fixed HTTP/1.0\r\nHost: app\r\nConnection: keep-alive\r\n\r\n", true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene *it = scene_open((struct scene_conf){.listener = ""});
        struct peer *client = client_open(it, 0);

        peer_says(client, rows[i].request);
        peer_until(client, "\r\n\r\nfixed");
        if (rows[i].kept)
            ck_assert(peer_is_quiet(client));
        else
            ck_assert_str_eq(peer_end(client), "");
        peer_close(client);
        scene_close(it);
    }
}
END_TEST

static bool has_drained(void *it)
{
    return ((struct scene *)it)->drained == 1;
}

START_TEST(draining_ends_each_connection_after_its_answer)
{
    struct scene *it = scene_open((struct scene_conf){.listener = ""});
    struct peer *client = client_open(it, 0);
    struct peer *idle = client_open(it, 0);
    struct peer *up;

    peer_says(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    up = upstream_accept(it, 0);
    worker_drain(it->worker);
    ck_assert_str_eq(peer_end(idle), "");
    ck_assert_uint_eq(it->drained, 0);
    peer_says(up, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ck_assert_ptr_nonnull(strcasestr(peer_head(client), "\r\nconnection: close\r\n"));
    ck_assert_str_eq(peer_end(client), "ok");
    loop_until(it->worker->loop, has_drained, it);
    peer_close(up);
    peer_close(idle);
    peer_close(client);
    scene_close(it);
}
END_TEST

UNIT_MAIN("proxy/session", a_session_is_small, what_is_no_request_is_refused,
          what_no_route_takes_is_refused, a_head_that_stops_is_answered_and_the_connection_ends,
          content_that_stops_is_answered, a_quiet_connection_is_closed,
          a_connection_is_kept_by_the_rules_of_its_version,
          draining_ends_each_connection_after_its_answer)
