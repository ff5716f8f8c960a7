#include "net/conn_move.h"

#include "net/transport.h"

#include "unit.h"
#include "until.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { CONTENT = 2 * 1024 * 1024 };

/* A connection and the descriptor at its other end, over the loopback. */
struct side {
    struct conn conn;
    int peer;
    unsigned readable, drained, failed, closed;
    enum err failed_err;
};

static struct loop *loop;
static struct side from, to;
static char content[CONTENT], got[CONTENT];

static struct side *side_of(struct conn *conn)
{
    return (struct side *)(void *)conn;
}

static void on_readable(struct conn *conn)
{
    side_of(conn)->readable++;
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)conn;
    (void)err;
}

static void on_drained(struct conn *conn)
{
    side_of(conn)->drained++;
}

static void on_progress(struct conn *conn)
{
    (void)conn;
}

static void on_failed(struct conn *conn, enum err err)
{
    side_of(conn)->failed++;
    side_of(conn)->failed_err = err;
}

static void on_alarm(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    side_of(conn)->closed++;
}

static const struct conn_ops ops = {.on_readable = on_readable,
                                    .on_hangup = on_hangup,
                                    .on_drained = on_drained,
                                    .on_progress = on_progress,
                                    .on_failed = on_failed,
                                    .on_alarm = on_alarm,
                                    .on_closed = on_closed};

static void open_side(struct side *side)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    int door = socket(AF_INET, SOCK_STREAM, 0);
    int fd;

    memset(side, 0, sizeof(*side));
    ck_assert_int_eq(bind(door, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(door, 1), 0);
    ck_assert_int_eq(getsockname(door, (struct sockaddr *)&addr, &len), 0);
    side->peer = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(side->peer, (struct sockaddr *)&addr, len), 0);
    fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(door), 0);
    ck_assert_int_eq(conn_open(&side->conn, loop, fd, &ops), OK);
}

static void set_up(unsigned max)
{
    loop = loop_new();
    pipes_limit(&loop->pipes, max);
    open_side(&from);
    open_side(&to);
    for (size_t i = 0; i < CONTENT; i++)
        content[i] = (char)(i * 17 + i / 251 + i / 65521);
    signal(SIGPIPE, SIG_IGN);
}

static void close_side(struct side *side)
{
    conn_close(&side->conn);
    if (side->peer >= 0)
        close(side->peer);
}

static void tear_down(void)
{
    close_side(&from);
    close_side(&to);
    loop_turns(loop, 1);
    ck_assert_uint_eq(from.closed, 1);
    ck_assert_uint_eq(to.closed, 1);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 0);
    loop_free(&loop);
}

static bool is_readable(void *side)
{
    return ((struct side *)side)->readable > 0;
}

static void from_sends(const char *bytes, size_t n)
{
    ck_assert_int_eq(send(from.peer, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
    from.readable = 0;
    loop_until(loop, is_readable, &from);
}

static void to_gets(const char *bytes, size_t n)
{
    ck_assert_int_eq(recv(to.peer, got, n, MSG_WAITALL), (ssize_t)n);
    ck_assert_int_eq(memcmp(got, bytes, n), 0);
}

START_TEST(bytes_go_from_one_to_the_other)
{
    size_t n = 0;

    set_up(1);
    from_sends("hello world", 11);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 5, &n), OK);
    ck_assert_uint_eq(n, 5);
    ck_assert(conn_has_unsent(&to.conn));
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 5);
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    ck_assert(!conn_has_unsent(&to.conn));
    to_gets("hello", 5);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 100, &n), OK);
    ck_assert_uint_eq(n, 6);
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    to_gets(" world", 6);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 100, &n), ERR_AGAIN);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 1);
    tear_down();
}
END_TEST

START_TEST(what_was_not_flushed_leaves_at_the_end_of_the_turn)
{
    size_t n;

    set_up(1);
    from_sends("hello", 5);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 5, &n), OK);
    loop_turns(loop, 1);
    ck_assert(!conn_has_unsent(&to.conn));
    to_gets("hello", 5);
    tear_down();
}
END_TEST

START_TEST(what_was_added_before_comes_before)
{
    size_t n;

    set_up(1);
    from_sends("content", 7);
    conn_put(&to.conn, SPAN("head "));
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 7, &n), OK);
    conn_put(&to.conn, SPAN(" more"));
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    to_gets("head content more", 17);
    tear_down();
}
END_TEST

START_TEST(nothing_is_moved_before_what_is_unread)
{
    struct sluice_span bytes;
    size_t n;

    set_up(1);
    from_sends("unread", 6);
    ck_assert_int_eq(conn_read(&from.conn, &bytes), OK);
    from_sends("more", 4);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 4, &n), ERR_MISSING);
    conn_consume(&from.conn, 6);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 4, &n), OK);
    ck_assert_int_eq(conn_settle(&from.conn, true), OK);
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    to_gets("more", 4);
    tear_down();
}
END_TEST

START_TEST(one_that_is_held_is_not_emptied)
{
    size_t n;

    set_up(1);
    from_sends("x", 1);
    conn_hold(&from.conn, CONN_HOLD_PEER);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_AGAIN);
    conn_release(&from.conn, CONN_HOLD_PEER);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), OK);
    tear_down();
}
END_TEST

START_TEST(without_a_pipe_or_another_transport_nothing_is_moved)
{
    struct transport_ops ops_of_other = transport_plain;
    struct transport other = {&ops_of_other};
    size_t n;

    set_up(0);
    from_sends("x", 1);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 1);
    pipes_limit(&loop->pipes, 1);
    ops_of_other.fill = NULL;
    conn_set_transport(&from.conn, &other);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    conn_set_transport(&from.conn, NULL);
    ops_of_other = transport_plain;
    ops_of_other.drain = NULL;
    conn_set_transport(&to.conn, &other);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 1);
    conn_set_transport(&to.conn, NULL);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), OK);
    tear_down();
}
END_TEST

static enum err refuse(struct conn *conn, int pipe, size_t most, struct transfer *moved)
{
    (void)conn;
    (void)pipe;
    (void)most;
    (void)moved;
    return ERR_MISSING;
}

START_TEST(a_system_that_refuses_is_not_asked_all_the_time)
{
    struct transport_ops ops_of_other = transport_plain;
    struct transport other = {&ops_of_other};
    size_t n;

    set_up(1);
    from_sends("x", 1);
    ops_of_other.fill = refuse;
    conn_set_transport(&from.conn, &other);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    conn_set_transport(&from.conn, NULL);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    ck_assert_uint_eq(counter_get(&loop->pipes.missed), 1);
    tear_down();
}
END_TEST

START_TEST(an_end_is_told_and_nothing_is_queued)
{
    size_t n;

    set_up(1);
    from_sends("last", 4);
    ck_assert_int_eq(shutdown(from.peer, SHUT_WR), 0);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 4, &n), OK);
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    while ((n = 0, conn_move(&from.conn, &to.conn, 4, &n)) == ERR_AGAIN)
        loop_turns(loop, 1);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 4, &n), ERR_CLOSED);
    ck_assert(!conn_has_unsent(&to.conn));
    conn_moved_all(&from.conn);
    ck_assert(conn_is_spoilt(&from.conn));
    tear_down();
}
END_TEST

START_TEST(a_reset_is_told_as_one)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    enum err err;
    size_t n;

    set_up(1);
    ck_assert_int_eq(setsockopt(from.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(from.peer);
    from.peer = -1;
    while ((err = conn_move(&from.conn, &to.conn, 4, &n)) == ERR_AGAIN)
        loop_turns(loop, 1);
    ck_assert_int_eq(err, ERR_RESET);
    tear_down();
}
END_TEST

START_TEST(after_all_of_a_message_it_is_known_whether_there_is_more)
{
    size_t n;

    set_up(1);
    from_sends("whole", 5);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 5, &n), OK);
    ck_assert(conn_is_spoilt(&from.conn));
    conn_moved_all(&from.conn);
    ck_assert(!conn_is_spoilt(&from.conn));
    from_sends("whole and more", 14);
    ck_assert_int_eq(conn_flush(&to.conn), OK);
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 5, &n), OK);
    conn_moved_all(&from.conn);
    ck_assert(conn_is_spoilt(&from.conn));
    tear_down();
}
END_TEST

static bool has_drained(void *side)
{
    struct side *it = side;
    ssize_t n = recv(it->peer, got, sizeof(got), MSG_DONTWAIT);

    (void)n;
    return it->drained > 0;
}

/* The peer takes nothing until much has been moved, then all: no byte is lost or doubled. */
START_TEST(what_the_other_does_not_take_waits_in_the_pipe)
{
    size_t sent = 0, taken = 0, n;
    int small = 48 * 1024; /* less than a pipe holds */

    set_up(1);
    ck_assert_int_eq(setsockopt(to.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    ck_assert_int_eq(setsockopt(conn_fd(&to.conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                     0);
    while (taken < CONTENT) {
        ssize_t put = send(from.peer, content + sent, CONTENT - sent, MSG_DONTWAIT);
        ssize_t had;

        sent += put > 0 ? (size_t)put : 0;
        loop_turns(loop, 1);
        if (!conn_has_unsent(&to.conn) && conn_move(&from.conn, &to.conn, CONTENT, &n) == OK &&
            conn_flush(&to.conn) == OK)
            continue;
        had = recv(to.peer, got + taken, CONTENT - taken, MSG_DONTWAIT);
        taken += had > 0 ? (size_t)had : 0;
    }
    ck_assert_uint_gt(to.drained, 0);
    ck_assert_int_eq(memcmp(got, content, CONTENT), 0);
    tear_down();
}
END_TEST

/* Fill the pipe with what its reader does not take. */
static void get_stuck(void)
{
    size_t n;

    do {
        if (send(from.peer, content, CONTENT, MSG_DONTWAIT) < 0)
            loop_turns(loop, 1);
        loop_turns(loop, 1);
    } while (conn_move(&from.conn, &to.conn, CONTENT, &n) != OK ||
             conn_flush(&to.conn) != ERR_AGAIN);
    ck_assert_uint_gt(counter_get(&loop->pipes.bytes), 0);
}

START_TEST(with_something_unsent_nothing_more_is_moved)
{
    size_t n;

    set_up(2);
    get_stuck();
    ck_assert_int_eq(conn_move(&from.conn, &to.conn, 1, &n), ERR_MISSING);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 1);
    loop_until(loop, has_drained, &to);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 1);
    tear_down();
}
END_TEST

START_TEST(a_connection_that_is_closed_closes_its_pipe)
{
    set_up(2);
    get_stuck();
    conn_close(&to.conn);
    ck_assert_uint_eq(counter_get(&loop->pipes.used), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.spare), 0);
    ck_assert_uint_eq(counter_get(&loop->pipes.bytes), 0);
    tear_down();
}
END_TEST

static bool has_failed(void *side)
{
    return ((struct side *)side)->failed > 0;
}

START_TEST(a_peer_that_resets_is_told_of_like_any_other)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    set_up(1);
    get_stuck();
    ck_assert_int_eq(setsockopt(to.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(to.peer);
    to.peer = -1;
    loop_until(loop, has_failed, &to);
    ck_assert_int_ne(to.failed_err, OK);
    tear_down();
}
END_TEST

UNIT_MAIN("net/conn_move", bytes_go_from_one_to_the_other,
          what_was_not_flushed_leaves_at_the_end_of_the_turn, what_was_added_before_comes_before,
          nothing_is_moved_before_what_is_unread, one_that_is_held_is_not_emptied,
          without_a_pipe_or_another_transport_nothing_is_moved,
          a_system_that_refuses_is_not_asked_all_the_time, an_end_is_told_and_nothing_is_queued,
          a_reset_is_told_as_one, after_all_of_a_message_it_is_known_whether_there_is_more,
          what_the_other_does_not_take_waits_in_the_pipe,
          with_something_unsent_nothing_more_is_moved, a_connection_that_is_closed_closes_its_pipe,
          a_peer_that_resets_is_told_of_like_any_other)
