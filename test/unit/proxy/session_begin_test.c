/*
 * When requests of an HTTP/2 connection begin: behind the read that brought them, so many in a
 * turn, the most urgent first. The client's frames are made by hand and go in one piece.
 */
#include "proxy/session.h"

#include "proxy/exchange.h"
#include "proxy/session_look.h"
#include "scene.h"

enum { WIRE_BYTES = 32 * 1024, DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7 };
enum { WINDOW_UPDATE = 8, END_STREAM = 1, END_HEADERS = 4, BEGUN_IN_A_TURN = 8, NOT_URGENT = 7 };

/* -- frames ------------------------------------------------------------------ */

struct wire {
    char bytes[WIRE_BYTES];
    size_t n;
};

static void add(struct wire *wire, const void *bytes, size_t n)
{
    ck_assert_uint_le(wire->n + n, sizeof(wire->bytes));
    memcpy(wire->bytes + wire->n, bytes, n);
    wire->n += n;
}

static void add_frame(struct wire *wire, unsigned kind, unsigned flags, unsigned stream,
                      struct sluice_span payload)
{
    unsigned char head[9] = {(unsigned char)(payload.len >> 16),
                             (unsigned char)(payload.len >> 8),
                             (unsigned char)payload.len,
                             (unsigned char)kind,
                             (unsigned char)flags,
                             0,
                             0,
                             (unsigned char)(stream >> 8),
                             (unsigned char)stream};

    add(wire, head, sizeof(head));
    add(wire, payload.ptr, payload.len);
}

/* A string of HPACK, as it is; behind the octet that says what it is of. */
static void add_text(struct wire *wire, char octet, const char *text)
{
    char len = (char)strlen(text);

    add(wire, &octet, 1);
    add(wire, &len, 1);
    add(wire, text, strlen(text));
}

static void add_head(struct wire *wire, unsigned stream, const char *path, unsigned urgency)
{
    static struct wire block;
    char value[] = "u=0";

    value[2] = (char)('0' + urgency);
    block.n = 0;
    add(&block, "\x82\x86", 2); /* GET, http */
    add_text(&block, 4, path);
    add_text(&block, 1, "app");
    add_text(&block, 0, "priority");
    block.bytes[block.n++] = 3;
    add(&block, value, 3);
    add_frame(wire, HEADERS, END_HEADERS | END_STREAM, stream, span_make(block.bytes, block.n));
}

static void add_post(struct wire *wire, unsigned stream, const char *path, const char *content)
{
    static struct wire block;

    block.n = 0;
    add(&block, "\x83\x86", 2); /* POST, http */
    add_text(&block, 4, path);
    add_text(&block, 1, "app");
    add_frame(wire, HEADERS, END_HEADERS, stream, span_make(block.bytes, block.n));
    add_frame(wire, DATA, END_STREAM, stream, span_of(content));
}

static void add_reset(struct wire *wire, unsigned stream)
{
    add_frame(wire, RST_STREAM, 0, stream, SPAN("\0\0\0\x08"));
}

static void send_all(struct peer *peer, struct wire *wire)
{
    peer_sends(peer, wire->bytes, wire->n);
    wire->n = 0;
}

/* The next frame, whose payload is skipped; its stream. */
static unsigned next_frame(struct peer *peer, unsigned *kind)
{
    unsigned char head[9];

    memcpy(head, peer_bytes(peer, sizeof(head)), sizeof(head));
    (void)peer_bytes(peer, (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    *kind = head[3];
    return (unsigned)head[7] << 8 | head[8];
}

/* The stream of the next head of an answer. */
static unsigned next_answer(struct peer *peer)
{
    unsigned kind, stream;

    do {
        stream = next_frame(peer, &kind);
    } while (kind != HEADERS);
    return stream;
}

/* -- a connection ------------------------------------------------------------- */

static struct port_counters *counters(const struct scene *it)
{
    return tally_slot(tally_get(it->tally, PORT_TALLY, SPAN("edge"), sizeof(struct port_counters)),
                      0);
}

struct coming {
    const struct scene *scene;
    uint64_t streams;
};

static bool have_come(void *coming_)
{
    const struct coming *coming = coming_;

    return counter_get(&counters(coming->scene)->h2_streams) >= coming->streams;
}

/* Send, and stop at the end of the turn in which the last of the streams has come. */
static void send_until(struct peer *peer, struct wire *wire, uint64_t streams)
{
    struct coming coming = {peer->scene, streams};

    send_all(peer, wire);
    loop_until(peer->scene->worker->loop, have_come, &coming);
    ck_assert_uint_eq(counter_get(&counters(peer->scene)->h2_streams), streams);
}

static struct peer *open_h2(struct scene *it, struct wire *wire)
{
    struct peer *peer = client_open(it, 0);
    unsigned kind;

    wire->n = 0;
    add(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    add_frame(wire, SETTINGS, 0, 0, SPAN(""));
    send_all(peer, wire);
    do { /* ours, then that we have seen theirs */
        (void)next_frame(peer, &kind);
    } while (kind != SETTINGS);
    return peer;
}

static struct scene *open_scene(void)
{
    return scene_open((struct scene_conf){.listener = "http2: { flood: { resets: 0 } }"});
}

static uint64_t not_begun(const struct scene *it)
{
    return counter_get(&counters(it)->h2_not_begun);
}

/* -- tests ---------------------------------------------------------------------- */

START_TEST(a_request_that_is_reset_in_the_same_read_is_never_begun)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 50; i++) {
        add_head(&wire, 2 * i + 1, "/", 3);
        add_reset(&wire, 2 * i + 1);
    }
    send_until(client, &wire, 50);
    ck_assert_uint_eq(not_begun(it), 50);
    ck_assert_uint_eq(counter_get(&counters(it)->h2_resets_in[8]), 50);
    ck_assert_uint_eq(scene_ends(it, REASON_CLIENT_RESET), 50);
    ck_assert(upstream_has_none(it, 0));
    add_head(&wire, 101, "/fixed", 3);
    send_all(client, &wire);
    ck_assert_uint_eq(next_answer(client), 101);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(a_request_whose_stream_must_be_reset_in_the_same_read_is_never_begun)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 50; i++) {
        add_head(&wire, 2 * i + 1, "/", 3);
        add_frame(&wire, WINDOW_UPDATE, 0, 2 * i + 1, SPAN("\x7f\xff\xff\xff"));
    }
    send_until(client, &wire, 50);
    ck_assert_uint_eq(not_begun(it), 50);
    ck_assert_uint_eq(counter_get(&counters(it)->h2_resets_out[3]), 50);
    ck_assert(upstream_has_none(it, 0));
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(so_many_begin_in_a_turn_and_all_are_answered_in_order)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);
    uint64_t begun;

    for (unsigned i = 0; i < 44; i++)
        add_head(&wire, 2 * i + 1, "/fixed", 3);
    send_until(client, &wire, 44);
    begun = scene_ends(it, REASON_RESPONDED); /* of the turn of their read, and perhaps the next */
    ck_assert(begun == BEGUN_IN_A_TURN || begun == 2 * BEGUN_IN_A_TURN);
    while (begun < 44) {
        loop_turns(it->worker->loop, 0);
        begun = begun + BEGUN_IN_A_TURN < 44 ? begun + BEGUN_IN_A_TURN : 44;
        ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED), begun);
    }
    ck_assert_uint_eq(counter_get(&counters(it)->h2_put_off), 44 - BEGUN_IN_A_TURN);
    for (unsigned i = 0; i < 44; i++)
        ck_assert_uint_eq(next_answer(client), 2 * i + 1);
    ck_assert_uint_eq(not_begun(it), 0);
    peer_close(client);
    scene_close(it);
}
END_TEST

static void note_state(void *states, struct exchange *ex)
{
    ((unsigned *)states)[ex->state == EX_MATCH]++;
}

START_TEST(who_waits_is_seen)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);
    unsigned all[2] = {0}, some[2] = {0}; /* begun, not begun */

    for (unsigned i = 0; i < 60; i++)
        add_head(&wire, 2 * i + 1, "/", 3);
    send_until(client, &wire, 60);
    ck_assert_uint_eq(session_each_exchange(it->worker->all.next, 100, note_state, all), 60);
    ck_assert_uint_eq(all[0] + all[1], 60);
    ck_assert(all[0] >= BEGUN_IN_A_TURN && all[1] > BEGUN_IN_A_TURN);
    ck_assert_uint_eq(session_each_exchange(it->worker->all.next, all[0] + 2, note_state, some),
                      all[0] + 2);
    ck_assert(some[0] == all[0] && some[1] == 2);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(the_most_urgent_begin_first)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 20; i++)
        add_head(&wire, 2 * i + 1, "/fixed", i < 10 ? NOT_URGENT : 20 - i > 5 ? 3 : 1);
    send_until(client, &wire, 20);
    for (unsigned i = 0; i < 20; i++) {
        unsigned of = i < 5 ? 15 + i : i < 10 ? 5 + i : i - 10;

        ck_assert_uint_eq(next_answer(client), 2 * of + 1);
    }
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(who_waits_can_be_reset)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 60; i++)
        add_head(&wire, 2 * i + 1, "/fixed", 3);
    send_until(client, &wire, 60);
    for (unsigned i = 48; i < 60; i++) { /* five turns away, and read before */
        if (i != 52)
            add_reset(&wire, 2 * i + 1);
    }
    send_all(client, &wire);
    loop_turns(it->worker->loop, 60 / BEGUN_IN_A_TURN + 1);
    ck_assert_uint_eq(not_begun(it), 11);
    for (unsigned i = 0; i < 48; i++)
        ck_assert_uint_eq(next_answer(client), 2 * i + 1);
    ck_assert_uint_eq(next_answer(client), 2 * 52 + 1);
    peer_close(client);
    scene_close(it);
}
END_TEST

START_TEST(who_waits_goes_with_the_connection)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 20; i++)
        add_head(&wire, 2 * i + 1, "/fixed", 3);
    send_until(client, &wire, 20);
    peer_close(client);
    loop_turns(it->worker->loop, 3);
    ck_assert_uint_gt(not_begun(it), 0);
    ck_assert_uint_eq(scene_ends(it, REASON_RESPONDED) + not_begun(it), 20);
    scene_close(it);
}
END_TEST

static bool has_drained(void *it)
{
    return ((struct scene *)it)->drained == 1;
}

START_TEST(who_waits_is_served_while_the_gateway_drains)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);

    for (unsigned i = 0; i < 20; i++)
        add_head(&wire, 2 * i + 1, "/fixed", 3);
    send_until(client, &wire, 20);
    worker_drain(it->worker);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(next_answer(client), 2 * i + 1);
    peer_close(client);
    loop_until(it->worker->loop, has_drained, it);
    scene_close(it);
}
END_TEST

START_TEST(content_behind_a_head_comes_whole)
{
    static struct wire wire;
    struct scene *it = open_scene();
    struct peer *client = open_h2(it, &wire);
    struct peer *up[3];

    for (unsigned i = 0; i < 3; i++)
        add_post(&wire, 2 * i + 1, "/", "the content\n");
    send_until(client, &wire, 3);
    for (unsigned i = 0; i < 3; i++) {
        up[i] = upstream_accept(it, 0);
        check_has(peer_head(up[i]), "POST / HTTP/1.1\r\n");
        check_has(peer_until(up[i], "0\r\n\r\n"), "the content\n");
        peer_says(up[i], "HTTP/1.1 204 No Content\r\n\r\n");
    }
    for (unsigned i = 0; i < 3; i++)
        (void)next_answer(client);
    for (unsigned i = 0; i < 3; i++)
        peer_close(up[i]);
    peer_close(client);
    scene_close(it);
}
END_TEST

UNIT_MAIN("proxy/session_begin", a_request_that_is_reset_in_the_same_read_is_never_begun,
          a_request_whose_stream_must_be_reset_in_the_same_read_is_never_begun,
          so_many_begin_in_a_turn_and_all_are_answered_in_order, who_waits_is_seen,
          the_most_urgent_begin_first, who_waits_can_be_reset, who_waits_goes_with_the_connection,
          who_waits_is_served_while_the_gateway_drains, content_behind_a_head_comes_whole)
