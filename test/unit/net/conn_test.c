#include "net/conn.h"

#include "net/addr.h"
#include "net/listener.h"

#include "unit.h"
#include "until.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { GOT_MAX = 1024 * 1024 };

/* One connection under test and the descriptor at its other end. */
struct scene {
    struct conn conn;
    struct loop *loop;
    int peer;
    unsigned readable, drained, progress, failed, hangups, alarms, closed;
    enum err read_err, failed_err, hangup_err;
    size_t take; /* bytes to consume in a callback, from what is unread */
    bool awaits_more;
    struct conn *echo; /* lend it what is consumed; NULL: nobody */
    size_t unread_len; /* after the last callback */
    size_t n_got;
    char got[GOT_MAX]; /* consumed */
};

static struct scene *at(struct conn *conn)
{
    return (struct scene *)(void *)conn;
}

static void consume(struct scene *it, struct sluice_span bytes)
{
    size_t n = bytes.len < it->take ? bytes.len : it->take;

    if (n > GOT_MAX - it->n_got)
        n = GOT_MAX - it->n_got;
    memcpy(it->got + it->n_got, bytes.ptr, n);
    it->n_got += n;
    it->take -= n;
    if (it->echo && n > 0)
        conn_lend(it->echo, span_make(bytes.ptr, n));
    conn_consume(&it->conn, n);
}

/* As sessions do: what is there first, then all that can be read. */
static void on_readable(struct conn *conn)
{
    struct scene *it = at(conn);
    struct sluice_span bytes = conn_peek(conn);

    it->readable++;
    it->read_err = OK;
    if (bytes.len > 0)
        consume(it, bytes);
    while (conn_is_open(conn) && conn->holds == 0) {
        it->read_err = conn_read(conn, &bytes);
        if (it->read_err)
            break;
        consume(it, bytes);
        if (it->echo)
            it->failed_err = conn_flush(it->echo);
    }
    it->unread_len = conn_peek(conn).len;
    if (conn_is_open(conn))
        ck_assert_int_eq(conn_settle(conn, it->awaits_more), OK);
}

static void on_hangup(struct conn *conn, enum err err)
{
    at(conn)->hangups++;
    at(conn)->hangup_err = err;
}

static void on_drained(struct conn *conn)
{
    at(conn)->drained++;
}

static void on_progress(struct conn *conn)
{
    at(conn)->progress++;
}

static void on_failed(struct conn *conn, enum err err)
{
    at(conn)->failed++;
    at(conn)->failed_err = err;
}

static void on_alarm(struct conn *conn)
{
    at(conn)->alarms++;
}

static void on_closed(struct conn *conn)
{
    at(conn)->closed++;
}

static const struct conn_ops ops = {.on_readable = on_readable,
                                    .on_hangup = on_hangup,
                                    .on_drained = on_drained,
                                    .on_progress = on_progress,
                                    .on_failed = on_failed,
                                    .on_alarm = on_alarm,
                                    .on_closed = on_closed};

static struct scene *scene_new(void)
{
    struct scene *it = calloc(1, sizeof(*it));

    ck_assert_ptr_nonnull(it);
    it->loop = loop_new();
    it->take = SIZE_MAX;
    it->peer = -1;
    return it;
}

/* A connected pair: a unix socket, or over the loopback. */
static struct scene *scene_open(void)
{
    struct scene *it = scene_new();
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&it->conn, it->loop, fds[0], &ops), OK);
    it->peer = fds[1];
    return it;
}

static void scene_close(struct scene *it)
{
    conn_close(&it->conn);
    loop_turns(it->loop, 1);
    ck_assert_uint_eq(it->closed, 1);
    ck_assert_uint_eq(it->loop->blocks.used, 0);
    ck_assert_uint_eq(it->loop->large_blocks.used, 0);
    if (it->peer >= 0)
        close(it->peer);
    loop_free(&it->loop);
    free(it);
}

static struct addr loopback(void)
{
    struct addr addr = {.family = AF_INET, .ip = {127, 0, 0, 1}};

    return addr;
}

static int listen_on(struct addr *addr)
{
    int fd;

    *addr = loopback();
    ck_assert_int_eq(listener_bind(addr, 8, false, &fd), OK);
    ck_assert_int_eq(listener_address(fd, addr, addr), OK);
    return fd;
}

static int accept_from(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int peer;

    ck_assert_int_eq(poll(&wait, 1, UNTIL_S * 1000), 1);
    peer = accept(fd, NULL, NULL);
    ck_assert_int_ge(peer, 0);
    return peer;
}

static char pattern[600 * 1000];

static void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i * 17 + i / 251 + i / 65521);
    }
}

/* The peer sends all of it without waiting. */
static void peer_sends(struct scene *it, const char *bytes, size_t n)
{
    ck_assert_int_eq(send(it->peer, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void peer_says(struct scene *it, const char *text)
{
    peer_sends(it, text, strlen(text));
}

static void peer_buffer(struct scene *it, int bytes)
{
    ck_assert_int_eq(setsockopt(it->peer, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static bool was_readable(void *it)
{
    return ((struct scene *)it)->readable > 0;
}

static bool was_drained(void *it)
{
    return ((struct scene *)it)->drained > 0;
}

static bool has_failed(void *it)
{
    return ((struct scene *)it)->failed > 0;
}

static bool has_hung_up(void *it)
{
    return ((struct scene *)it)->hangups > 0;
}

static bool has_rung(void *it)
{
    return ((struct scene *)it)->alarms > 0;
}

static bool is_at_end(void *it)
{
    return ((struct scene *)it)->read_err == ERR_CLOSED;
}

static bool is_reset(void *it)
{
    return ((struct scene *)it)->read_err == ERR_RESET;
}

/* -- reading ---------------------------------------------------------- */

START_TEST(bytes_arrive_and_then_the_end)
{
    struct scene *it = scene_open();

    peer_says(it, "hello");
    loop_until(it->loop, was_readable, it);
    ck_assert_uint_eq(it->n_got, 5);
    ck_assert_int_eq(memcmp(it->got, "hello", 5), 0);
    ck_assert(!conn_is_spoilt(&it->conn));
    peer_says(it, "bye");
    ck_assert_int_eq(shutdown(it->peer, SHUT_WR), 0);
    loop_until(it->loop, is_at_end, it);
    ck_assert_uint_eq(it->n_got, 8);
    ck_assert(conn_is_spoilt(&it->conn));
    scene_close(it);
}
END_TEST

START_TEST(an_idle_connection_owns_no_buffer)
{
    struct scene *it = scene_open();

    peer_says(it, "hello");
    loop_until(it->loop, was_readable, it);
    ck_assert_uint_eq(it->loop->blocks.used, 0);
    ck_assert_ptr_null(it->loop->lent_to);
    scene_close(it);
}
END_TEST

static bool has_two(void *it)
{
    return ((struct scene *)it)->unread_len == 10;
}

START_TEST(unread_bytes_stay_in_one_piece_with_later_ones)
{
    struct scene *it = scene_open();

    it->take = 0;
    peer_says(it, "hello");
    loop_until(it->loop, was_readable, it);
    ck_assert_uint_eq(conn_peek(&it->conn).len, 5);
    ck_assert(conn_is_spoilt(&it->conn));
    peer_says(it, "world");
    loop_until(it->loop, has_two, it);
    ck_assert_int_eq(memcmp(conn_peek(&it->conn).ptr, "helloworld", 10), 0);
    conn_consume(&it->conn, 10);
    ck_assert_uint_eq(conn_peek(&it->conn).len, 0);
    scene_close(it);
}
END_TEST

/* Much is read at once and left unread: it must come back whole and in order. */
START_TEST(many_unread_bytes_come_back_in_order)
{
    struct scene *it = scene_open();
    size_t n = 120 * 1000;

    fill_pattern();
    peer_buffer(it, 1 << 20);
    it->take = 10;
    peer_sends(it, pattern, n);
    loop_until(it->loop, was_readable, it);
    ck_assert_uint_eq(it->n_got, 10);
    peer_sends(it, pattern + n, 20000);
    it->take = SIZE_MAX;
    conn_look(&it->conn);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->n_got, n + 20000);
    ck_assert_int_eq(memcmp(it->got, pattern, n + 20000), 0);
    scene_close(it);
}
END_TEST

/* A message that begins at the end of a block and ends in the next one is seen whole. */
START_TEST(conn_read_gives_more_while_unread_bytes_are_left)
{
    struct scene *it = scene_open();
    struct sluice_span bytes;

    fill_pattern();
    peer_buffer(it, 1 << 20);
    it->take = 0;
    peer_sends(it, pattern, 60 * 1000);
    loop_until(it->loop, was_readable, it);
    bytes = conn_peek(&it->conn);
    while (bytes.len < 60 * 1000) {
        size_t before = bytes.len;

        ck_assert(!conn_is_read_out(&it->conn));
        ck_assert_int_eq(conn_read(&it->conn, &bytes), OK);
        ck_assert_uint_gt(bytes.len, before);
    }
    ck_assert_int_eq(memcmp(bytes.ptr, pattern, 60 * 1000), 0);
    scene_close(it);
}
END_TEST

START_TEST(conn_read_most_leaves_the_rest_to_the_kernel)
{
    struct scene *it = scene_open();
    struct sluice_span bytes;

    it->take = 0;
    conn_hold(&it->conn, CONN_HOLD_TURN);
    peer_says(it, "hello world");
    loop_turns(it->loop, 3);
    it->conn.holds = 0;
    ck_assert_int_eq(conn_read_most(&it->conn, 5, &bytes), OK);
    ck_assert(span_equal(bytes, SPAN("hello")));
    ck_assert(!conn_is_read_out(&it->conn));
    ck_assert_int_eq(conn_read_most(&it->conn, 100, &bytes), OK);
    ck_assert(span_equal(bytes, SPAN("hello world")));
    ck_assert(conn_is_read_out(&it->conn));
    conn_consume(&it->conn, bytes.len);
    ck_assert_int_eq(conn_settle(&it->conn, false), OK);
    scene_close(it);
}
END_TEST

START_TEST(unread_bytes_that_fill_a_large_block_are_a_limit)
{
    struct scene *it = scene_open();

    fill_pattern();
    peer_buffer(it, 1 << 20);
    it->take = 0;
    peer_sends(it, pattern, 10);
    loop_until(it->loop, was_readable, it);
    peer_sends(it, pattern, 120 * 1000);
    loop_turns(it->loop, 3);
    ck_assert_int_eq(it->read_err, ERR_LIMIT);
    ck_assert_uint_ge(it->unread_len, 64 * 1024);
    scene_close(it);
}
END_TEST

/* A read that fills the lent buffer leaves room for more once its begin was consumed. */
START_TEST(a_full_buffer_that_was_mostly_consumed_is_no_limit)
{
    struct scene *it = scene_open();
    size_t n = LOOP_LENT_BYTES + 20 * 1000;

    fill_pattern();
    peer_buffer(it, 1 << 20);
    it->take = LOOP_LENT_BYTES - 50;
    peer_sends(it, pattern, n);
    loop_until(it->loop, was_readable, it);
    ck_assert_int_eq(it->read_err, ERR_AGAIN);
    ck_assert_uint_eq(it->unread_len, n - LOOP_LENT_BYTES + 50);
    it->take = SIZE_MAX;
    conn_look(&it->conn);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->n_got, n);
    ck_assert_int_eq(memcmp(it->got, pattern, n), 0);
    scene_close(it);
}
END_TEST

START_TEST(a_held_connection_is_not_read_until_released)
{
    struct scene *it = scene_open();
    struct sluice_span bytes;

    conn_hold(&it->conn, CONN_HOLD_PEER);
    conn_hold(&it->conn, CONN_HOLD_TURN);
    peer_says(it, "hello");
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->readable, 0);
    ck_assert_int_eq(conn_read(&it->conn, &bytes), ERR_AGAIN);
    conn_release(&it->conn, CONN_HOLD_PEER);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->readable, 0);
    conn_release(&it->conn, CONN_HOLD_TURN);
    loop_turns(it->loop, 3);
    ck_assert_uint_gt(it->readable, 0);
    ck_assert_uint_eq(it->n_got, 5);
    scene_close(it);
}
END_TEST

START_TEST(an_end_while_it_is_anothers_turn_is_told)
{
    struct scene *it = scene_open();

    conn_hold(&it->conn, CONN_HOLD_TURN);
    ck_assert_int_eq(shutdown(it->peer, SHUT_WR), 0);
    loop_until(it->loop, has_hung_up, it);
    ck_assert_int_eq(it->hangup_err, ERR_CLOSED);
    ck_assert_uint_eq(it->readable, 0);
    scene_close(it);
}
END_TEST

START_TEST(bytes_while_it_is_anothers_turn_are_no_end)
{
    struct scene *it = scene_open();

    conn_hold(&it->conn, CONN_HOLD_TURN);
    peer_says(it, "next");
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->hangups, 0);
    scene_close(it);
}
END_TEST

START_TEST(a_yielded_connection_is_readable_in_the_next_turn)
{
    struct scene *it = scene_open();

    conn_yield(&it->conn);
    loop_turns(it->loop, 2);
    ck_assert_uint_eq(it->readable, 1);
    scene_close(it);
}
END_TEST

START_TEST(stale_and_spoilt_tell_a_connection_not_to_be_used)
{
    struct scene *it = scene_open();

    loop_turns(it->loop, 2);
    it->readable = 0;
    ck_assert(!conn_is_stale(&it->conn));
    conn_hold(&it->conn, CONN_HOLD_PEER);
    peer_says(it, "x");
    ck_assert(conn_is_stale(&it->conn));
    ck_assert(conn_is_stale(&it->conn)); /* nothing was consumed */
    loop_turns(it->loop, 2);
    ck_assert(conn_is_spoilt(&it->conn));
    scene_close(it);
}
END_TEST

START_TEST(a_reset_is_told_as_one)
{
    struct scene *it = scene_new();
    struct linger now = {.l_onoff = 1};
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    it->peer = accept_from(listener);
    if (!connected)
        loop_until(it->loop, was_drained, it);
    ck_assert_int_eq(setsockopt(it->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(it->peer);
    it->peer = -1;
    loop_until(it->loop, is_reset, it);
    close(listener);
    scene_close(it);
}
END_TEST

/* -- writing ---------------------------------------------------------- */

static size_t peer_reads(struct scene *it, char *into, size_t room)
{
    ssize_t n = recv(it->peer, into, room, MSG_DONTWAIT);

    return n > 0 ? (size_t)n : 0;
}

START_TEST(pieces_go_out_together_in_order)
{
    struct scene *it = scene_open();
    char got[100];
    char *out;
    size_t room = conn_reserve(&it->conn, &out);

    ck_assert_uint_ge(room, 66 * 1024);
    memcpy(out, "head ", 5);
    conn_wrote(&it->conn, 5);
    conn_put(&it->conn, SPAN("put "));
    conn_lend(&it->conn, SPAN("lent "));
    conn_lend(&it->conn, SPAN(""));
    conn_put(&it->conn, SPAN("end"));
    ck_assert_uint_eq(peer_reads(it, got, sizeof(got)), 0);
    ck_assert_int_eq(conn_flush(&it->conn), OK);
    ck_assert_uint_eq(peer_reads(it, got, sizeof(got)), 17);
    ck_assert_int_eq(memcmp(got, "head put lent end", 17), 0);
    ck_assert_int_eq(conn_flush(&it->conn), OK);
    ck_assert(!conn_has_unsent(&it->conn));
    scene_close(it);
}
END_TEST

START_TEST(more_pieces_than_a_cork_holds_go_out_in_order)
{
    struct scene *it = scene_open();
    static char got[200 * 1000];
    size_t n = 0;

    fill_pattern();
    for (size_t i = 0; i < 500; i++) {
        if (i % 2)
            conn_put(&it->conn, span_make(pattern + n, 100));
        else
            conn_lend(&it->conn, span_make(pattern + n, 100));
        n += 100;
    }
    conn_put(&it->conn, span_make(pattern + n, 97 * 1024)); /* larger than the cork's own room */
    n += 97 * 1024;
    if (conn_flush(&it->conn) != OK)
        ck_assert(conn_has_unsent(&it->conn));
    for (size_t have = 0; have < n;) {
        have += peer_reads(it, got + have, n - have);
        loop_turns(it->loop, 1);
        if (have == n)
            ck_assert_int_eq(memcmp(got, pattern, n), 0);
    }
    scene_close(it);
}
END_TEST

START_TEST(there_is_room_for_a_head_behind_other_pieces)
{
    struct scene *it = scene_open();
    char *out;

    fill_pattern();
    conn_put(&it->conn, span_make(pattern, 90 * 1024));
    ck_assert_uint_ge(conn_reserve(&it->conn, &out), 66 * 1024);
    scene_close(it);
}
END_TEST

START_TEST(what_the_socket_does_not_take_is_queued_and_then_drained)
{
    struct scene *it = scene_open();
    static char got[sizeof(pattern)];
    size_t have = 0;

    fill_pattern();
    conn_lend(&it->conn, span_make(pattern, 400 * 1000));
    ck_assert_int_eq(conn_flush(&it->conn), ERR_AGAIN);
    ck_assert(conn_has_unsent(&it->conn));
    conn_lend(&it->conn, span_make(pattern + 400 * 1000, 200 * 1000));
    ck_assert_int_eq(conn_flush(&it->conn), ERR_AGAIN);
    ck_assert_int_eq(conn_flush(&it->conn), ERR_AGAIN);
    ck_assert_uint_eq(it->drained, 0);
    for (unsigned i = 0; i < 10000 && have < sizeof(pattern); i++) {
        have += peer_reads(it, got + have, sizeof(got) - have);
        loop_turns(it->loop, 1);
    }
    ck_assert_uint_eq(have, sizeof(pattern));
    ck_assert_int_eq(memcmp(got, pattern, sizeof(pattern)), 0);
    ck_assert_uint_eq(it->drained, 1);
    ck_assert(!conn_has_unsent(&it->conn));
    scene_close(it);
}
END_TEST

/* What a peer does not read fills the kernel's buffer; then there is room no more. */
START_TEST(there_is_room_until_the_peer_takes_no_more)
{
    struct scene *it = scene_open();
    size_t room, sent = 0;

    fill_pattern();
    ck_assert_uint_eq(conn_room(&it->conn), CONN_ROOM_FIRST);
    while (conn_room(&it->conn) > 0) {
        room = conn_room(&it->conn);
        room = room < sizeof(pattern) ? room : sizeof(pattern);
        conn_lend(&it->conn, span_make(pattern, room));
        sent += room;
        if (conn_flush(&it->conn) == ERR_AGAIN)
            ck_assert_uint_eq(conn_room(&it->conn), 0);
        ck_assert_uint_lt(sent, (size_t)64 * 1024 * 1024);
    }
    ck_assert_uint_gt(sent, CONN_ROOM_FIRST);
    conn_make_room(&it->conn);
    ck_assert_uint_eq(conn_room(&it->conn), CONN_ROOM_FIRST);
    scene_close(it);
}
END_TEST

START_TEST(adding_to_another_connection_flushes_the_first)
{
    struct scene *it = scene_open();
    struct scene *other = scene_new();
    char got[10];
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&other->conn, it->loop, fds[0], &ops), OK);
    conn_put(&it->conn, SPAN("one"));
    conn_put(&other->conn, SPAN("two"));
    ck_assert_uint_eq(peer_reads(it, got, sizeof(got)), 3);
    ck_assert_int_eq(conn_flush(&it->conn), OK);
    ck_assert_int_eq(conn_flush(&other->conn), OK);
    ck_assert_int_eq(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), 3);
    conn_close(&other->conn);
    loop_turns(it->loop, 1);
    close(fds[1]);
    loop_free(&other->loop);
    free(other);
    scene_close(it);
}
END_TEST

/*
 * Bytes that were kept in a block of our own are lent on and consumed: they must stay as they
 * are until they have been sent or copied, also when that takes a block.
 */
START_TEST(lent_bytes_survive_being_consumed)
{
    struct scene *it = scene_open();
    struct scene *to = scene_new();
    static char got[400 * 1000];
    size_t have = 0, filler = 0;
    int fds[2];

    fill_pattern();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&to->conn, it->loop, fds[0], &ops), OK);
    while (send(fds[0], pattern, 1000, MSG_DONTWAIT) == 1000) {
        filler += 1000; /* the way is blocked from here on */
    }
    it->take = 0;
    peer_sends(it, pattern, 5000);
    loop_until(it->loop, was_readable, it);
    it->echo = &to->conn;
    it->take = SIZE_MAX;
    peer_sends(it, pattern + 5000, 5000);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->n_got, 10000);
    for (unsigned i = 0; i < 10000 && have < filler + 10000; i++) {
        ssize_t n = recv(fds[1], got + have, sizeof(got) - have, MSG_DONTWAIT);

        have += n > 0 ? (size_t)n : 0;
        loop_turns(it->loop, 1);
    }
    ck_assert_uint_eq(have, filler + 10000);
    ck_assert_int_eq(memcmp(got + filler, pattern, 10000), 0);
    it->echo = NULL;
    conn_close(&to->conn);
    loop_turns(it->loop, 1);
    close(fds[1]);
    loop_free(&to->loop);
    free(to);
    scene_close(it);
}
END_TEST

START_TEST(lent_bytes_survive_the_close_of_where_they_came_from)
{
    struct scene *it = scene_open();
    struct scene *to = scene_new();
    char got[20];
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&to->conn, it->loop, fds[0], &ops), OK);
    it->take = 0;
    peer_says(it, "hello and more");
    loop_until(it->loop, was_readable, it);
    conn_lend(&to->conn, span_make(conn_peek(&it->conn).ptr, 5));
    conn_consume(&it->conn, 5);
    conn_close(&it->conn);
    ck_assert_int_eq(conn_flush(&to->conn), OK);
    ck_assert_int_eq(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), 5);
    ck_assert_int_eq(memcmp(got, "hello", 5), 0);
    conn_close(&to->conn);
    loop_turns(it->loop, 1);
    close(fds[1]);
    loop_free(&to->loop);
    free(to);
    scene_close(it);
}
END_TEST

START_TEST(a_closed_peer_fails_a_flush_or_a_drain)
{
    struct scene *it = scene_open();

    close(it->peer);
    it->peer = -1;
    conn_put(&it->conn, SPAN("x"));
    ck_assert_int_ne(conn_flush(&it->conn), OK);
    scene_close(it);
}
END_TEST

START_TEST(the_peer_reads_our_end_after_all_bytes)
{
    struct scene *it = scene_open();
    char got[10];

    conn_put(&it->conn, SPAN("last"));
    ck_assert_int_eq(conn_flush(&it->conn), OK);
    conn_shut_write(&it->conn);
    ck_assert_int_eq(recv(it->peer, got, sizeof(got), 0), 4);
    ck_assert_int_eq(recv(it->peer, got, sizeof(got), 0), 0);
    scene_close(it);
}
END_TEST

START_TEST(the_end_waits_for_what_is_queued)
{
    struct scene *it = scene_open();
    static char got[sizeof(pattern)];
    size_t have = 0;

    fill_pattern();
    conn_lend(&it->conn, span_make(pattern, sizeof(pattern)));
    conn_shut_write(&it->conn); /* not even flushed */
    ck_assert_int_eq(conn_flush(&it->conn), ERR_AGAIN);
    for (unsigned i = 0; i < 10000 && have < sizeof(pattern); i++) {
        have += peer_reads(it, got + have, sizeof(got) - have);
        loop_turns(it->loop, 1);
    }
    ck_assert_uint_eq(have, sizeof(pattern));
    ck_assert_int_eq(memcmp(got, pattern, sizeof(pattern)), 0);
    ck_assert_int_eq(recv(it->peer, got, sizeof(got), 0), 0);
    scene_close(it);
}
END_TEST

static bool has_reset(void *it_)
{
    struct scene *it = it_;

    return conn_is_reset(&it->conn);
}

START_TEST(a_reset_after_the_end_is_known)
{
    struct scene *it = scene_new();
    struct linger now = {.l_onoff = 1};
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    it->peer = accept_from(listener);
    if (!connected)
        loop_until(it->loop, was_drained, it);
    conn_hold(&it->conn, CONN_HOLD_TURN);
    ck_assert_int_eq(shutdown(it->peer, SHUT_WR), 0);
    loop_turns(it->loop, 2);
    ck_assert(!conn_is_reset(&it->conn));
    ck_assert_int_eq(setsockopt(it->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(it->peer);
    it->peer = -1;
    loop_until(it->loop, has_reset, it);
    ck_assert(conn_is_reset(&it->conn));
    close(listener);
    scene_close(it);
}
END_TEST

/* -- dialling and life -------------------------------------------------- */

START_TEST(a_dialled_connection_tells_that_it_stands_and_what_was_put_goes_out)
{
    struct scene *it = scene_new();
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;
    char got[10];

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    if (!connected)
        loop_until(it->loop, was_drained, it);
    it->peer = accept_from(listener);
    conn_put(&it->conn, SPAN("hi"));
    ck_assert_int_eq(conn_flush(&it->conn), OK);
    ck_assert_int_eq(recv(it->peer, got, sizeof(got), 0), 2);
    close(listener);
    scene_close(it);
}
END_TEST

/* Accepted connections on the loop of another scene. */
static struct scene *join(struct scene *it)
{
    struct scene *other = scene_new();
    int fds[2];

    loop_free(&other->loop);
    other->loop = it->loop;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&other->conn, it->loop, fds[0], &ops), OK);
    other->peer = fds[1];
    return other;
}

static void leave(struct scene **other)
{
    conn_close(&(*other)->conn);
    loop_turns((*other)->loop, 1);
    ck_assert_uint_eq((*other)->closed, 1);
    close((*other)->peer);
    free(*other);
    *other = NULL;
}

enum { ASKING = 3 * LOOP_LINE };

static unsigned n_readable(struct scene *asking[ASKING])
{
    unsigned n = 0;

    for (unsigned i = 0; i < ASKING; i++)
        n += asking[i]->readable;
    return n;
}

START_TEST(an_answer_is_read_before_all_who_ask)
{
    struct scene *it = scene_new();
    struct scene *asking[ASKING];
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    it->peer = accept_from(listener);
    for (unsigned i = 0; i < ASKING; i++) {
        asking[i] = join(it);
        loop_turns(it->loop, 1);
    }
    for (unsigned i = 0; i < ASKING; i++)
        peer_says(asking[i], "may I?");
    peer_says(it, "you may");
    for (unsigned i = 0; i < UNTIL_S * 1000 && it->readable == 0; i++) {
        struct pollfd wait = {.fd = conn_fd(&it->conn), .events = POLLIN};

        ck_assert_int_eq(poll(&wait, 1, UNTIL_S * 1000), 1);
        loop_turns(it->loop, 0);
    }
    ck_assert_uint_eq(it->n_got, 7);
    ck_assert_uint_le(n_readable(asking), LOOP_LINE);
    /* One that stands in line may be closed, and is gone at the end of the turn. */
    ck_assert_uint_eq(asking[ASKING - 1]->readable, 0);
    leave(&asking[ASKING - 1]);
    for (unsigned i = 0; i + 1 < ASKING; i++) {
        loop_until(it->loop, was_readable, asking[i]);
        ck_assert_uint_eq(asking[i]->n_got, 6);
        ck_assert_uint_eq(asking[i]->readable, 1);
        leave(&asking[i]);
    }
    close(listener);
    scene_close(it);
}
END_TEST

/* The peer was quicker than the loop: its bytes and its end come with the same event. */
START_TEST(what_comes_together_with_connecting_is_not_missed)
{
    struct scene *it = scene_new();
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    it->peer = accept_from(listener);
    peer_says(it, "welcome");
    ck_assert_int_eq(shutdown(it->peer, SHUT_WR), 0);
    loop_until(it->loop, is_at_end, it);
    ck_assert_uint_eq(it->n_got, 7);
    close(listener);
    scene_close(it);
}
END_TEST

START_TEST(nobody_listening_is_refused)
{
    struct scene *it = scene_new();
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected = false;
    enum err err;

    close(listener);
    err = conn_dial(&it->conn, it->loop, &addr, &ops, &connected);
    if (err == OK) {
        loop_until(it->loop, has_failed, it);
        ck_assert_int_eq(it->failed_err, ERR_REFUSED);
        scene_close(it);
        return;
    }
    ck_assert_int_eq(err, ERR_REFUSED);
    loop_free(&it->loop);
    free(it);
}
END_TEST

START_TEST(a_missing_unix_socket_cannot_be_dialled)
{
    struct scene *it = scene_new();
    struct addr addr = {.family = AF_UNIX, .path = "/nonexistent/socket"};
    bool connected;

    ck_assert_int_ne(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    loop_free(&it->loop);
    free(it);
}
END_TEST

START_TEST(closing_twice_tells_once_at_the_end_of_the_turn)
{
    struct scene *it = scene_open();

    conn_close(&it->conn);
    ck_assert(!conn_is_open(&it->conn));
    ck_assert_uint_eq(it->closed, 0);
    conn_close(&it->conn);
    conn_abort(&it->conn);
    ck_assert_int_eq(conn_flush(&it->conn), ERR_CLOSED);
    loop_turns(it->loop, 2);
    ck_assert_uint_eq(it->closed, 1);
    ck_assert_uint_eq(it->readable, 0);
    scene_close(it);
}
END_TEST

START_TEST(an_aborted_connection_is_reset_for_the_peer)
{
    struct scene *it = scene_new();
    struct addr addr;
    int listener = listen_on(&addr);
    bool connected;
    char byte;

    ck_assert_int_eq(conn_dial(&it->conn, it->loop, &addr, &ops, &connected), OK);
    it->peer = accept_from(listener);
    loop_turns(it->loop, 2);
    conn_abort(&it->conn);
    ck_assert_int_eq(recv(it->peer, &byte, 1, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    close(listener);
    scene_close(it);
}
END_TEST

START_TEST(the_alarm_rings_once_and_zero_disarms)
{
    struct scene *it = scene_open();

    conn_set_alarm(&it->conn, 1);
    conn_set_alarm(&it->conn, 0);
    ck_assert(!alarm_is_armed(&it->conn.alarm));
    conn_set_alarm(&it->conn, 1);
    loop_until(it->loop, has_rung, it);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(it->alarms, 1);
    scene_close(it);
}
END_TEST

UNIT_MAIN("net/conn", bytes_arrive_and_then_the_end, an_idle_connection_owns_no_buffer,
          unread_bytes_stay_in_one_piece_with_later_ones, many_unread_bytes_come_back_in_order,
          conn_read_gives_more_while_unread_bytes_are_left,
          conn_read_most_leaves_the_rest_to_the_kernel,
          unread_bytes_that_fill_a_large_block_are_a_limit,
          a_full_buffer_that_was_mostly_consumed_is_no_limit,
          a_held_connection_is_not_read_until_released, an_end_while_it_is_anothers_turn_is_told,
          bytes_while_it_is_anothers_turn_are_no_end,
          a_yielded_connection_is_readable_in_the_next_turn,
          stale_and_spoilt_tell_a_connection_not_to_be_used, a_reset_is_told_as_one,
          pieces_go_out_together_in_order, more_pieces_than_a_cork_holds_go_out_in_order,
          there_is_room_for_a_head_behind_other_pieces,
          what_the_socket_does_not_take_is_queued_and_then_drained,
          there_is_room_until_the_peer_takes_no_more,
          adding_to_another_connection_flushes_the_first, lent_bytes_survive_being_consumed,
          lent_bytes_survive_the_close_of_where_they_came_from,
          a_closed_peer_fails_a_flush_or_a_drain, the_peer_reads_our_end_after_all_bytes,
          the_end_waits_for_what_is_queued, a_reset_after_the_end_is_known,
          a_dialled_connection_tells_that_it_stands_and_what_was_put_goes_out,
          what_comes_together_with_connecting_is_not_missed, an_answer_is_read_before_all_who_ask,
          nobody_listening_is_refused, a_missing_unix_socket_cannot_be_dialled,
          closing_twice_tells_once_at_the_end_of_the_turn,
          an_aborted_connection_is_reset_for_the_peer, the_alarm_rings_once_and_zero_disarms)
