#include "net/proxied.h"

#include "base/text.h"
#include "net/conn.h"
#include "net/preface.h"

#include "unit.h"
#include "until.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"

/* -- a connection whose other end is a descriptor --------------------------------- */

struct end {
    struct conn conn;
    unsigned shaken, failed, closed;
    struct text got;
};

struct scene {
    struct loop *loop;
    struct end end;
    struct proxied *proxied;
    int peer;
};

static struct end *end_of(struct conn *conn)
{
    return (struct end *)(void *)conn;
}

static void on_readable(struct conn *conn)
{
    struct sluice_span bytes;

    while (conn_read(conn, &bytes) == OK) {
        text_add(&end_of(conn)->got, bytes);
        conn_consume(conn, bytes.len);
    }
    ck_assert_int_eq(conn_settle(conn, true), OK);
}

static void on_drained(struct conn *conn)
{
    end_of(conn)->shaken++;
}

static void on_failed(struct conn *conn, enum err err)
{
    (void)err;
    end_of(conn)->failed++;
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)conn;
    (void)err;
}

static void on_nothing(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    end_of(conn)->closed++;
}

static const struct conn_ops ops = {.on_readable = on_readable,
                                    .on_hangup = on_hangup,
                                    .on_drained = on_drained,
                                    .on_progress = on_nothing,
                                    .on_failed = on_failed,
                                    .on_alarm = on_nothing,
                                    .on_closed = on_closed};

static void scene_init(struct scene *it)
{
    int fds[2];

    memset(it, 0, sizeof(*it));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    it->loop = loop_new();
    it->peer = fds[1];
    text_init(&it->end.got, 65536);
    ck_assert_int_eq(conn_open(&it->end.conn, it->loop, fds[0], &ops), OK);
}

static void scene_await(struct scene *it, bool is_optional)
{
    const struct addr by = {.family = AF_INET, .port = 1};

    it->proxied = proxied_new(&by, is_optional);
    proxied_await(&it->end.conn, it->proxied, 0);
}

static bool is_closed(void *it)
{
    return ((struct scene *)it)->end.closed > 0;
}

static void scene_fini(struct scene *it)
{
    conn_close(&it->end.conn);
    loop_until(it->loop, is_closed, it);
    proxied_free(&it->proxied);
    text_fini(&it->end.got);
    close(it->peer);
    loop_free(&it->loop);
}

static bool is_settled(void *it_)
{
    const struct scene *it = it_;

    return it->end.shaken > 0 || it->end.failed > 0;
}

static void say(const struct scene *it, struct sluice_span bytes)
{
    ck_assert_int_eq(send(it->peer, bytes.ptr, bytes.len, 0), (ssize_t)bytes.len);
}

static bool has_read(void *it_)
{
    const struct scene *it = it_;

    return span_equal(text_span(&it->end.got), SPAN("GET /"));
}

/* -- claims ------------------------------------------------------------------------- */

START_TEST(a_header_is_taken_out_and_what_follows_is_read)
{
    struct scene it;

    scene_init(&it);
    scene_await(&it, false);
    say(&it, SPAN(LINE "GET /"));
    loop_until(it.loop, has_read, &it);
    ck_assert_uint_eq(it.end.shaken, 1);
    ck_assert_int_eq(it.proxied->state, PROXIED_READ);
    ck_assert_uint_eq(it.proxied->from.port, 4711);
    scene_fini(&it);
}
END_TEST

START_TEST(a_header_may_be_cut_anywhere)
{
    for (size_t cut = 1; cut < sizeof(LINE) - 1; cut += 7) {
        struct scene it;

        scene_init(&it);
        scene_await(&it, false);
        say(&it, span_make(LINE, cut));
        loop_turns(it.loop, 3);
        ck_assert_uint_eq(it.end.shaken + it.end.failed, 0);
        say(&it, span_make(&LINE[cut], sizeof(LINE) - 1 - cut));
        say(&it, SPAN("GET /"));
        loop_until(it.loop, has_read, &it);
        scene_fini(&it);
    }
}
END_TEST

START_TEST(what_is_no_header_fails_unless_it_is_optional)
{
    for (int optional = 0; optional < 2; optional++) {
        struct scene it;

        scene_init(&it);
        scene_await(&it, optional);
        say(&it, SPAN("GET /"));
        loop_until(it.loop, is_settled, &it);
        ck_assert_uint_eq(it.end.failed, !optional);
        ck_assert_int_eq(it.proxied->state, optional ? PROXIED_NONE : PROXIED_WRONG);
        if (optional)
            loop_until(it.loop, has_read, &it);
        scene_fini(&it);
    }
}
END_TEST

START_TEST(an_end_within_the_header_is_noticed)
{
    struct scene it;

    scene_init(&it);
    scene_await(&it, false);
    say(&it, SPAN("PROXY TCP4 "));
    ck_assert_int_eq(shutdown(it.peer, SHUT_WR), 0);
    loop_until(it.loop, is_settled, &it);
    ck_assert_uint_eq(it.end.failed, 1);
    ck_assert_ptr_nonnull(it.proxied->why);
    scene_fini(&it);
}
END_TEST

START_TEST(a_connection_may_end_before_its_header)
{
    struct scene it;

    scene_init(&it);
    scene_await(&it, false);
    scene_fini(&it);
}
END_TEST

START_TEST(a_preface_is_said_before_all_else)
{
    struct scene it;
    struct preface *preface = preface_new(SPAN("first "));
    char got[32];

    scene_init(&it);
    preface_say(&it.end.conn, preface);
    conn_put(&it.end.conn, SPAN("then"));
    ck_assert_int_eq(conn_flush(&it.end.conn), ERR_AGAIN);
    loop_until(it.loop, is_settled, &it);
    ck_assert_int_eq(it.end.failed, 0);
    conn_put(&it.end.conn, SPAN(", last"));
    (void)!conn_flush(&it.end.conn);
    ck_assert_int_ge(recv(it.peer, got, sizeof(got), 0), 6);
    ck_assert_mem_eq(got, "first ", 6);
    ck_assert(preface_is(preface, SPAN("first ")) && !preface_is(preface, SPAN("first")));
    ck_assert(preface_is(NULL, SPAN("")) && !preface_is(NULL, SPAN("x")));
    scene_fini(&it);
    preface_free(&preface);
    preface_free(&preface);
}
END_TEST

START_TEST(a_preface_that_is_too_long_is_none)
{
    static char bytes[PREFACE_MAX + 1];

    ck_assert_ptr_null(preface_new(span_make(bytes, sizeof(bytes))));
}
END_TEST

UNIT_MAIN("net/proxied", a_header_is_taken_out_and_what_follows_is_read,
          a_header_may_be_cut_anywhere, what_is_no_header_fails_unless_it_is_optional,
          an_end_within_the_header_is_noticed, a_connection_may_end_before_its_header,
          a_preface_is_said_before_all_else, a_preface_that_is_too_long_is_none)
