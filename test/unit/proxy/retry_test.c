/*
 * Between two tries: the rows of exchange.c's table that lead through EX_PAUSE, and what becomes
 * of the rival of a hedged one.
 */
#include "proxy/retry.h"

#include "proxy/exchange.h"

#include "scene.h"

#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BUSY "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

static struct scene *open_two(const char *upstream)
{
    return scene_open((struct scene_conf){.upstream = upstream, .endpoints = 2});
}

static uint64_t retries(struct scene *it, unsigned cause)
{
    struct upstream_counters *counters =
        tally_slot(tally_get(it->tally, UPSTREAM_TALLY, SPAN("app"), sizeof(*counters)), 0);

    return counter_get(&counters->retries[cause]);
}

static void check_ok(struct peer *client)
{
    check_has(peer_head(client), "HTTP/1.1 200 OK\r\n");
    ck_assert_str_eq(peer_bytes(client, 2), "ok");
}

START_TEST(a_failed_response_is_followed_by_another_try)
{
    struct scene *it = open_two("retry: { on: [ 503 ], backoff: 0s }");
    struct peer *client = client_open(it, 0);
    struct peer *first, *second;

    peer_says(client, "GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
    first = upstream_accept(it, 0);
    peer_head(first);
    peer_says(first, BUSY);
    second = upstream_accept(it, 1);
    check_has(peer_head(second), "GET /a HTTP/1.1\r\n");
    ck_assert_uint_eq(retries(it, RETRY_STATUS), 1);
    ck_assert(peer_is_quiet(first)); /* its connection is kept */
    peer_says(second, OK_2);
    check_ok(client);
    scene_await_end(it, REASON_COMPLETED, 1);
    peer_close(first);
    peer_close(second);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(content_is_sent_again_as_it_was)
{
    struct scene *it = open_two("retry: { on: [ reset ], backoff: 0s }");
    struct peer *client = client_open(it, 0);
    struct peer *first, *second;

    peer_says(client, "PUT /a HTTP/1.1\r\nHost: app\r\nContent-Length: 8\r\n\r\n0123");
    first = upstream_accept(it, 0);
    check_has(peer_until(first, "0123"), "PUT /a ");
    peer_close(first);
    second = upstream_accept(it, 1);
    check_has(peer_until(second, "0123"), "PUT /a ");
    peer_says(client, "4567");
    peer_until(second, "4567");
    peer_says(second, OK_2);
    check_ok(client);
    peer_close(second);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(an_exchange_can_end_while_it_pauses)
{
    struct scene *it = open_two("retry: { on: [ 503 ], backoff: { base: 0s, max: 60s } }");
    struct peer *client = client_open(it, 0);
    struct peer *first;

    peer_says(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    first = upstream_accept(it, 0);
    peer_head(first);
    peer_says(first, "HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    ck_assert(peer_is_quiet(client));
    ck_assert_uint_eq(retries(it, RETRY_STATUS), 1);
    peer_close(client);
    scene_await_end(it, REASON_CLIENT_CLOSED, 1);
    ck_assert(upstream_has_none(it, 1));
    peer_close(first);
    scene_close(it);
}
END_TEST

START_TEST(the_rival_answers_and_the_leader_is_ended)
{
    struct scene *it = open_two("hedge: 10ms");
    struct peer *client = client_open(it, 0);
    struct peer *first, *second;

    peer_says(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    first = upstream_accept(it, 0);
    peer_head(first);
    second = upstream_accept(it, 1);
    peer_head(second);
    peer_says(second, OK_2);
    check_ok(client);
    ck_assert_str_eq(peer_end(first), "");
    ck_assert(peer_is_quiet(second));
    peer_close(first);
    peer_close(second);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(the_rival_takes_the_lead_when_the_leader_fails)
{
    struct scene *it = open_two("hedge: 10ms, retry: 0");
    struct peer *client = client_open(it, 0);
    struct peer *first, *second;

    peer_says(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    first = upstream_accept(it, 0);
    peer_head(first);
    second = upstream_accept(it, 1);
    peer_head(second);
    peer_close(first);
    ck_assert(peer_is_quiet(client));
    peer_says(second, OK_2);
    check_ok(client);
    peer_close(second);
    peer_close(client);
    scene_close(it);
}
END_TEST

UNIT_MAIN("proxy/retry", a_failed_response_is_followed_by_another_try,
          content_is_sent_again_as_it_was, an_exchange_can_end_while_it_pauses,
          the_rival_answers_and_the_leader_is_ended, the_rival_takes_the_lead_when_the_leader_fails)
