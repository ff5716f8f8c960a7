/*
 * mux_scene.h - one worker's view of an upstream with one endpoint, and that endpoint, whose HTTP/2
 * is spoken by the machine of http/h2.h over the loopback: a test says when it accepts, speaks,
 * answers and goes.
 *
 * Nothing moves but in await() and its kin.
 */
#ifndef TEST_MUX_SCENE_H
#define TEST_MUX_SCENE_H

#include "upstream/mux_state.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "net/listener.h"

#include "sets.h"
#include "unit.h"
#include "until.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PEERS = 3, PEER_STREAMS = 8 };

struct scene;

/* The endpoint's side of one connection. */
struct peer {
    struct scene *scene;
    int fd;
    struct h2 *h2; /* NULL: it has said nothing yet */
    struct h2_settings settings;
    struct h2_stream *stream[PEER_STREAMS]; /* as they came; NULL: gone */
    unsigned n_streams, n_lost;
    uint32_t lost_code; /* of the last */
    bool woken, ended;
};

struct scene {
    struct loop *loop;
    struct rng rng;
    struct tally *tally;
    struct shares *shares;
    struct arena arena;
    struct notes *notes;
    struct upstreams *worker;
    struct upstream *upstream;
    int listen_fd;
    struct addr addr;
    struct h2_bench *bench;
    struct peer peer[PEERS];
    unsigned n_peers;
};

/* One request, and what its holder was told. */
struct ask {
    struct lease lease;
    enum err err; /* of the lease; ERR_AGAIN while it waits */
    unsigned begun, batches, ends, losses;
    unsigned status;
    struct stream_loss loss;
    size_t body_bytes;
    bool idles; /* does not open its stream when it may */
    bool holds; /* from its head on */
    bool wants_fresh;
    bool opened;
};

/* -- endpoints ---------------------------------------------------------- */

static inline void peer_on_request(struct h2_stream *stream, const struct request *request,
                                   struct sluice_span bytes)
{
    struct peer *peer = h2_owner(stream->h2);

    (void)request;
    (void)bytes;
    ck_assert_uint_lt(peer->n_streams, PEER_STREAMS);
    stream->user = &peer->stream[peer->n_streams];
    peer->stream[peer->n_streams++] = stream;
}

static inline void peer_on_lost(struct h2_stream *stream, const struct h2_loss *loss)
{
    struct peer *peer = h2_owner(stream->h2);

    *(struct h2_stream **)stream->user = NULL;
    peer->n_lost++;
    peer->lost_code = loss->code;
}

static inline void peer_on_refused(struct h2_stream *stream, enum h1_rule rule)
{
    (void)stream;
    ck_abort_msg("a request breaks a rule: %s", h1_rule_text(rule));
}

static inline void peer_on_settings(struct h2 *h2)
{
    (void)h2;
}

static inline void peer_on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    (void)h2;
    (void)last;
    ck_assert_uint_eq(code, H2_NO_ERROR);
}

static inline void peer_on_cause(struct h2 *h2, enum h2_cause cause)
{
    (void)h2;
    ck_abort_msg("the endpoint is offended: %s", h2_cause_name(cause));
}

static inline void peer_wake(struct h2 *h2)
{
    ((struct peer *)h2_owner(h2))->woken = true;
}

static inline void peer_put(struct h2 *h2, struct sluice_span bytes)
{
    struct peer *peer = h2_owner(h2);
    ssize_t n = peer->ended ? (ssize_t)bytes.len
                            : send(peer->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);

    ck_assert_int_eq(n, (ssize_t)bytes.len); /* little is said: there is room for it */
}

static const struct h2_ops peer_ops = {
    .on_request = peer_on_request,
    .on_refused = peer_on_refused,
    .on_lost = peer_on_lost,
    .on_goaway = peer_on_goaway,
    .on_settings = peer_on_settings,
    .on_cause = peer_on_cause,
    .wake = peer_wake,
    .put = peer_put,
    .lend = peer_put,
};

/* Take what has come, answer what is to be answered at once. */
static inline void peer_turn(struct peer *peer)
{
    char bytes[16384];
    ssize_t n;

    if (!peer->h2 || peer->ended)
        return;
    n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    peer->ended = n == 0 || (n < 0 && errno != EAGAIN);
    if (n > 0)
        ck_assert_int_eq(h2_feed(peer->h2, span_make(bytes, (size_t)n), now_us()), OK);
    if (peer->woken) {
        peer->woken = false;
        h2_run(peer->h2);
    }
    h2_pull(peer->h2);
}

/* From now on it speaks HTTP/2, and allows so many streams. */
static inline void peer_speak(struct peer *peer, uint32_t max_streams)
{
    peer->settings = (struct h2_settings){.max_streams = max_streams,
                                          .window = 65535,
                                          .connection_window = 65535,
                                          .line_bytes = 8192,
                                          .head_bytes = 16384,
                                          .field_count = 100,
                                          .decoder_table = 4096,
                                          .encoder_table = 4096};
    peer->h2 = h2_new(peer->scene->bench, H2_SERVER, &peer->settings, &peer_ops, peer);
    ck_assert_ptr_nonnull(peer->h2);
    h2_pull(peer->h2);
}

static inline void peer_answer(struct peer *peer, unsigned i)
{
    const struct response response = {.status = 200};

    ck_assert_ptr_nonnull(peer->stream[i]);
    ck_assert_int_eq(h2_send_response(peer->stream[i], &response, 0, true), OK);
    h2_leave(peer->stream[i]);
    peer->stream[i] = NULL;
    h2_pull(peer->h2);
}

/* The head of an answer with content, and all of that. */
static inline void peer_answer_at_length(struct peer *peer, unsigned i, struct sluice_span body)
{
    const struct response response = {.status = 200};

    ck_assert_ptr_nonnull(peer->stream[i]);
    ck_assert_int_eq(h2_send_response(peer->stream[i], &response, (int64_t)body.len, false), OK);
    h2_send_body(peer->stream[i], body);
    h2_send_end(peer->stream[i], NULL);
    ck_assert_int_eq(h2_flush(peer->stream[i]), OK);
    h2_leave(peer->stream[i]);
    peer->stream[i] = NULL;
    h2_pull(peer->h2);
}

static inline void peer_reset(struct peer *peer, unsigned i, uint32_t code)
{
    ck_assert_ptr_nonnull(peer->stream[i]);
    h2_reset(peer->stream[i], code);
    peer->stream[i] = NULL;
    h2_pull(peer->h2);
}

/* Bytes that its machine would not say by itself. */
#define peer_says(peer, ...)                                                                       \
    do {                                                                                           \
        const uint8_t frame[] = {__VA_ARGS__};                                                     \
                                                                                                   \
        peer_put((peer)->h2, span_make((const char *)frame, sizeof(frame)));                       \
    } while (0)

/* GOAWAY, though it may have seen streams above that one. */
static inline void peer_goaway(struct peer *peer, uint8_t last)
{
    peer_says(peer, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0);
}

/* The connection ends, by a reset or in order. */
static inline void peer_vanish(struct peer *peer, bool reset)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (reset) {
        ck_assert_int_eq(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        close(peer->fd);
        peer->fd = -1;
    } else {
        ck_assert_int_eq(shutdown(peer->fd, SHUT_WR), 0);
    }
    peer->ended = true;
}

/* -- turning ---------------------------------------------------------------- */

struct watching {
    struct scene *scene;
    until_fn *is_true;
    void *arg;
};

static inline bool turn_peers(void *watching_)
{
    const struct watching *watching = watching_;

    for (unsigned i = 0; i < watching->scene->n_peers; i++) {
        peer_turn(&watching->scene->peer[i]);
    }
    return watching->is_true(watching->arg);
}

/* Until it is true, with all endpoints at work. */
#define await(it, what, whose) await_or_fail((it), (what), (whose), __FILE__, __LINE__)

static inline void await_or_fail(struct scene *it, until_fn *is_true, void *arg, const char *file,
                                 int line)
{
    struct watching watching = {it, is_true, arg};

    until_or_fail(it->loop, turn_peers, &watching, file, line);
}

static inline bool count_down(void *left)
{
    return (*(unsigned *)left)-- == 0;
}

/* For what must not happen. */
static inline void some_turns(struct scene *it)
{
    unsigned left = 20;

    await(it, count_down, &left);
}

static inline bool has_accepted(void *peer_)
{
    struct peer *peer = peer_;

    peer->fd = accept4(peer->scene->listen_fd, NULL, NULL, SOCK_NONBLOCK);
    return peer->fd >= 0;
}

static inline struct peer *accept_peer(struct scene *it)
{
    struct peer *peer = &it->peer[it->n_peers];

    ck_assert_uint_lt(it->n_peers, PEERS);
    peer->scene = it;
    await(it, has_accepted, peer);
    it->n_peers++;
    return peer;
}

static inline struct peer *accept_speaker(struct scene *it, uint32_t max_streams)
{
    struct peer *peer = accept_peer(it);

    peer_speak(peer, max_streams);
    return peer;
}

static inline bool nobody_dials(struct scene *it)
{
    struct peer none = {.scene = it};

    some_turns(it);
    return !has_accepted(&none);
}

/* -- requests -------------------------------------------------------------- */

static inline struct ask *ask_of(struct lease *lease)
{
    return list_entry(lease, struct ask, lease);
}

/* What the holder of a stream is told comes in batches only. */
static inline struct ask *told(struct lease *lease)
{
    ck_assert_uint_eq(ask_of(lease)->begun, ask_of(lease)->batches + 1);
    return ask_of(lease);
}

static inline void on_begin(struct lease *lease)
{
    ck_assert_uint_eq(ask_of(lease)->begun++, ask_of(lease)->batches);
}

static inline void on_batch_end(struct lease *lease)
{
    told(lease)->batches++;
}

static inline void on_response(struct lease *lease, const struct response *response,
                               struct sluice_span bytes)
{
    (void)bytes;
    told(lease)->status = response->status;
    if (ask_of(lease)->holds)
        h2_hold(lease->stream);
}

static inline void on_body(struct lease *lease, struct sluice_span piece)
{
    told(lease)->body_bytes += piece.len;
}

static inline void on_end(struct lease *lease, const struct fields *trailers)
{
    ck_assert_ptr_null(trailers);
    told(lease)->ends++;
}

static inline void on_lost(struct lease *lease, const struct stream_loss *loss)
{
    told(lease)->losses++;
    ask_of(lease)->loss = *loss;
}

static inline void on_told(struct lease *lease)
{
    (void)told(lease);
}

static const struct stream_ops stream_ops = {.on_begin = on_begin,
                                             .on_batch_end = on_batch_end,
                                             .on_response = on_response,
                                             .on_body = on_body,
                                             .on_end = on_end,
                                             .on_drained = on_told,
                                             .on_lost = on_lost,
                                             .on_known = on_told};

CHECKED static inline enum err try_stream(struct ask *ask)
{
    const struct request request = {.method = METHOD_GET, .method_text = SPAN("GET")};
    const struct h2_request_head head = {.request = &request,
                                         .scheme = SPAN("http"),
                                         .authority = SPAN("app"),
                                         .target = SPAN("/"),
                                         .length = BODY_UNKNOWN,
                                         .last = true};

    ck_assert_ptr_nonnull(ask->lease.mux);
    ck_assert(!ask->lease.dialling);
    return stream_open(&ask->lease, &head);
}

static inline void open_stream(struct ask *ask)
{
    ck_assert_int_eq(try_stream(ask), OK);
    ask->opened = true;
}

static inline void on_leased(struct ask *ask, enum err err)
{
    ask->err = err;
    if (err == OK && !ask->idles)
        open_stream(ask);
}

static inline void on_ready(struct lease *lease, enum err err)
{
    ck_assert_int_eq(ask_of(lease)->err, ERR_AGAIN); /* once only */
    on_leased(ask_of(lease), err);
}

static inline void ask(struct scene *it, struct ask *ask)
{
    ask->err = ERR_AGAIN;
    lease_init(&ask->lease, NULL, on_ready);
    ask->lease.fresh = ask->wants_fresh;
    ask->lease.streams = &stream_ops;
    on_leased(ask, upstream_lease(it->upstream, &ask->lease));
}

static inline bool is_told(void *ask_)
{
    return ((struct ask *)ask_)->err != ERR_AGAIN;
}

static inline bool has_ended(void *ask_)
{
    const struct ask *ask = ask_;

    ck_assert_uint_eq(ask->losses, 0);
    return ask->ends > 0 && ask->begun == ask->batches;
}

static inline bool is_lost(void *ask_)
{
    const struct ask *ask = ask_;

    ck_assert_uint_eq(ask->ends, 0);
    return ask->losses > 0 && ask->begun == ask->batches;
}

static inline bool has_head(void *ask)
{
    return ((struct ask *)ask)->status != 0;
}

static inline bool is_gone(void *peer)
{
    return ((struct peer *)peer)->ended;
}

static inline bool has_one(void *peer)
{
    return ((struct peer *)peer)->n_streams == 1;
}

static inline bool has_two(void *peer)
{
    return ((struct peer *)peer)->n_streams == 2;
}

static inline bool has_three(void *peer)
{
    return ((struct peer *)peer)->n_streams == 3;
}

/* The answer to a request comes whole, and its lease ends. */
static inline void finish(struct scene *it, struct ask *ask, struct peer *peer, unsigned i)
{
    peer_answer(peer, i);
    await(it, has_ended, ask);
    ck_assert_uint_eq(ask->status, 200);
    ck_assert_uint_eq(ask->ends, 1);
    lease_return(&ask->lease);
    ck_assert_ptr_null(ask->lease.mux);
}

/* It was lost, and its lease ends. */
static inline const struct stream_loss *lose(struct scene *it, struct ask *ask)
{
    await(it, is_lost, ask);
    ck_assert_uint_eq(ask->losses, 1);
    ck_assert_ptr_null(ask->lease.stream);
    lease_discard(&ask->lease);
    ck_assert_ptr_null(ask->lease.mux);
    return &ask->loss;
}

/* -- the scene --------------------------------------------------------------- */

static inline const struct endpoint_counters *counters_of(const struct scene *it)
{
    return it->upstream->endpoint[0]->counters;
}

#define counted(it, member) counter_get(&counters_of(it)->member)

/* A socket that is bound, so that nobody else is there, and does not listen. */
static inline int deaf_socket(void)
{
    const struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static inline struct scene *scene_open_at(bool listens, const char *more)
{
    struct scene *it = alloc_new(sizeof(*it));
    const struct addr addr = {.family = AF_INET, .ip = {127, 0, 0, 1}};
    struct bind bind = {.arena = &it->arena};
    struct upstream_wanted wanted = {.generation = 1};
    struct items map = {0};
    struct tree *tree = NULL;
    char yaml[1024];

    it->loop = loop_new();
    it->bench = h2_bench_new();
    rng_init(&it->rng);
    it->tally = tally_new(1);
    it->shares = shares_new(it->tally);
    bind.notes = it->notes = notes_new();
    arena_init(&it->arena, NULL, 0);
    if (listens) {
        ck_assert_int_eq(listener_bind(&addr, 64, false, &it->listen_fd), OK);
    } else {
        it->listen_fd = deaf_socket();
    }
    ck_assert_int_eq(listener_address(it->listen_fd, &addr, &it->addr), OK);
    snprintf(yaml, sizeof(yaml), "app: { protocol: h2c, endpoints: [ \"127.0.0.1:%u\" ]%s%s }\n",
             (unsigned)it->addr.port, *more ? ", " : "", more);
    ck_assert_int_eq(tree_parse(span_of(yaml), "test.yaml", &it->arena, it->notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bind, &upstream_map_shape, tree, &map), OK);
    wanted.conf = map.first;
    wanted.members = sets_make(wanted.conf, it->shares, NULL);
    ck_assert_ptr_nonnull(wanted.members);
    wanted.tally =
        tally_get(it->tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters));
    it->worker = upstreams_new(it->loop, &it->rng, 0);
    it->upstream = upstream_get(it->worker, &wanted);
    members_unref(&wanted.members);
    return it;
}

static inline struct scene *scene_open(const char *more)
{
    return scene_open_at(true, more);
}

/* All leases have ended: nothing is left over of any of them. */
static inline void scene_close(struct scene *it)
{
    ck_assert_uint_eq(counted(it, streams), 0);
    ck_assert_uint_eq(counted(it, active), 0);
    ck_assert_uint_eq(it->upstream->n_active, 0);
    ck_assert_uint_eq(it->upstream->n_waiting, 0);
    upstream_unref(&it->upstream);
    loop_turns(it->loop, 3);
    ck_assert(!upstreams_has_connections(it->worker));
    upstreams_free(&it->worker);
    for (unsigned i = 0; i < it->n_peers; i++) {
        h2_free(&it->peer[i].h2);
        if (it->peer[i].fd >= 0)
            close(it->peer[i].fd);
    }
    h2_bench_free(&it->bench);
    close(it->listen_fd);
    shares_free(&it->shares);
    tally_free(&it->tally);
    notes_free(&it->notes);
    arena_fini(&it->arena);
    loop_free(&it->loop);
    alloc_free(it);
}

#endif /* TEST_MUX_SCENE_H */
